import { z } from 'zod'
import { containsCidr, formatCidr, type Cidr } from '../net/cidr.ts'
import { containsCidr6, formatCidr6, type Cidr6 } from '../net/cidr6.ts'
import { isIpv4, type Ip } from '../net/ip.ts'
import { formatIpv4, type Ipv4 } from '../net/ipv4.ts'
import { formatIp, formatIpv6, type Ipv6 } from '../net/ipv6.ts'
import { MIN_OVERLAY_MTU } from '../net/mtu.ts'
import { MAX_VNI } from '../net/vni.ts'
import type { EndpointRecord, HostRecord, OverlayRecord, SubnetLease } from './cluster-view.ts'
import {
  cidr6Field,
  cidrField,
  decodeJson,
  ipField,
  ipv4Field,
  ipv6Field,
  macField,
} from './json-value.ts'
import { isHostId } from './keyspace.ts'
import { isOverlayName } from './overlay-name.ts'

/** A record as its value holds it: the key and the revision say the rest. */
type ValueOf<Record, FromKey extends keyof Record> = Omit<Record, 'key' | 'modRevision' | FromKey>

export type SubnetValue = ValueOf<SubnetLease, 'subnet'>
export type OverlayValue = ValueOf<OverlayRecord, 'name'>
export type HostValue = ValueOf<HostRecord, 'hostId'>
export type EndpointValue = ValueOf<EndpointRecord, 'subnet' | 'ip'>

const hostIdField = z.string().refine(isHostId, 'is not a host identity')
const overlayField = z.string().refine(isOverlayName, 'is not an overlay name')
const vniField = z.int().min(0).max(MAX_VNI)
const mtuField = z.int().min(MIN_OVERLAY_MTU).max(65_535)

/** The low bit of the first byte marks a group; a VTEP is one station. */
const vtepMacField = macField.refine(
  (mac) => (Number.parseInt(mac.slice(0, 2), 16) & 1) === 0 && mac !== '00:00:00:00:00:00',
  'is not the MAC address of one station',
)

const subnetSchema = z.object({
  PublicIP: ipv4Field,
  PublicIPv6: ipv6Field.nullish(),
  BackendType: z.literal(
    'vxlan',
    'is another backend than "vxlan": packets cannot reach that host',
  ),
  BackendData: z.object({ VNI: vniField, VtepMAC: vtepMacField }),
  HostID: hostIdField.nullish(),
  Overlay: overlayField.nullish(),
  Kind: z.enum(['pooled', 'routed', 'docker']).nullish(),
  Pool: cidrField.nullish(),
  Pool6: cidr6Field.nullish(),
  MTU: mtuField.nullish(),
  NetworkID: z.string().min(1).nullish(),
})

/**
 * What flannel writes as PublicIP of a host that has none. Never an IPv6 address: at one, flannel's
 * reader ends its whole process (its pkg/ip FromIP).
 */
const NOWHERE: Ipv4 = 0

/** A host of both families is reached by IPv4, as flannel's own hosts reach an IPv4 subnet. */
const tunnelEnd = (ipv4: Ipv4, ipv6: Ipv6 | null | undefined): Ip =>
  ipv4 === NOWHERE && ipv6 ? ipv6 : ipv4

const publicIps = (ip: Ip): { PublicIP: string; PublicIPv6: string | null } =>
  isIpv4(ip)
    ? { PublicIP: formatIpv4(ip), PublicIPv6: null }
    : { PublicIP: formatIpv4(NOWHERE), PublicIPv6: formatIpv6(ip) }

/**
 * `<prefix>/subnets/…`, ours or flannel's. The IPv6 subnet of a flannel host is behind a tunnel of its
 * own (BackendV6Data), which is not read.
 * @param subnet6 as the key has it
 * @throws OverlayError bad_input
 */
export function decodeSubnet(text: string, subnet: Cidr, subnet6: Cidr6 | null): SubnetValue {
  const schema = subnetSchema
    .refine((value) => value.Kind !== 'pooled' || value.Pool, {
      path: ['Pool'],
      message: 'is missing, and a pooled subnet has one',
    })
    .refine((value) => !value.Pool || containsCidr(value.Pool, subnet), {
      path: ['Pool'],
      message: `does not contain ${formatCidr(subnet)}`,
    })
    .refine((value) => !subnet6 || !value.HostID || value.Kind !== 'pooled' || value.Pool6, {
      path: ['Pool6'],
      message: 'is missing, and a pooled IPv6 subnet has one',
    })
    .refine((value) => !subnet6 || !value.Pool6 || containsCidr6(value.Pool6, subnet6), {
      path: ['Pool6'],
      message: `does not contain ${subnet6 && formatCidr6(subnet6)}`,
    })
    .refine((value) => value.PublicIP !== NOWHERE || value.PublicIPv6, {
      path: ['PublicIP'],
      message: 'is 0.0.0.0, and there is no PublicIPv6 either: nothing says where the host is',
    })
  const value = decodeJson(schema, text)
  return {
    publicIp: tunnelEnd(value.PublicIP, value.PublicIPv6),
    vtepMac: value.BackendData.VtepMAC,
    vni: value.BackendData.VNI,
    hostId: value.HostID ?? null,
    overlay: value.Overlay ?? null,
    kind: value.Kind ?? 'routed',
    pool: value.Pool ?? null,
    ipv6: subnet6 && value.HostID ? { subnet: subnet6, pool: value.Pool6 ?? null } : null,
    mtu: value.MTU ?? null,
    networkId: value.NetworkID ?? null,
  }
}

/**
 * flannel's fields in flannel's order (its pkg/lease LeaseAttrs as Go marshals it), then ours, which
 * flannel ignores. A value without a HostID has flannel's fields alone.
 */
export function encodeSubnet(value: SubnetValue): string {
  const flannel = {
    ...publicIps(value.publicIp),
    BackendType: 'vxlan',
    BackendData: { VNI: value.vni, VtepMAC: value.vtepMac },
  }
  if (value.hostId === null) return JSON.stringify(flannel)
  return JSON.stringify({
    ...flannel,
    HostID: value.hostId,
    Overlay: value.overlay,
    Kind: value.kind,
    Pool: value.pool && formatCidr(value.pool),
    ...(value.ipv6?.pool && { Pool6: formatCidr6(value.ipv6.pool) }),
    MTU: value.mtu,
    NetworkID: value.networkId,
  })
}

const overlaySchema = z
  .object({
    VNI: vniField.min(1),
    Pool: cidrField.nullish(),
    SubnetLen: z.int().min(1).max(30).nullish(),
    Pool6: cidr6Field.nullish(),
  })
  .refine((value) => !value.Pool || !value.SubnetLen || value.SubnetLen >= value.Pool.length, {
    path: ['SubnetLen'],
    message: 'is wider than the pool',
  })
  .refine((value) => value.Pool || !value.Pool6, {
    path: ['Pool6'],
    message: 'is of an overlay without a Pool, which is routed and has none',
  })

/** `<prefix>/overlays/<name>`. @throws OverlayError bad_input */
export function decodeOverlay(text: string): OverlayValue {
  const value = decodeJson(overlaySchema, text)
  return {
    vni: value.VNI,
    pool: value.Pool ?? null,
    subnetLength: value.SubnetLen ?? null,
    pool6: value.Pool6 ?? null,
  }
}

export function encodeOverlay(value: OverlayValue): string {
  return JSON.stringify({
    VNI: value.vni,
    Pool: value.pool && formatCidr(value.pool),
    SubnetLen: value.subnetLength,
    ...(value.pool6 && { Pool6: formatCidr6(value.pool6) }),
  })
}

const hostSchema = z.object({
  Hostname: z.string(),
  Instance: z.string().min(1),
  PublicIP: ipField,
  Version: z.string(),
  MTU: mtuField,
})

/** `<prefix>/hosts/<HostID>`. @throws OverlayError bad_input */
export function decodeHost(text: string): HostValue {
  const value = decodeJson(hostSchema, text)
  return {
    hostname: value.Hostname,
    instance: value.Instance,
    publicIp: value.PublicIP,
    version: value.Version,
    mtu: value.MTU,
  }
}

export function encodeHost(value: HostValue): string {
  return JSON.stringify({
    Hostname: value.hostname,
    Instance: value.instance,
    PublicIP: formatIp(value.publicIp),
    Version: value.version,
    MTU: value.mtu,
  })
}

const endpointSchema = z.object({
  EndpointID: z.string().min(1),
  MAC: macField,
  Name: z.string().nullish(),
  IPv6: ipv6Field.nullish(),
})

/** `<prefix>/endpoints/<subnet>/<ip>`. @throws OverlayError bad_input */
export function decodeEndpoint(text: string): EndpointValue {
  const value = decodeJson(endpointSchema, text)
  return {
    endpointId: value.EndpointID,
    mac: value.MAC,
    name: value.Name ?? null,
    ipv6: value.IPv6 ?? null,
  }
}

export function encodeEndpoint(value: EndpointValue): string {
  return JSON.stringify({
    EndpointID: value.endpointId,
    MAC: value.mac,
    Name: value.name,
    ...(value.ipv6 !== null && { IPv6: formatIpv6(value.ipv6) }),
  })
}

const holderSchema = z.object({ HostID: hostIdField })

/** `<prefix>/holders/<subnet>`: the HostID. @throws OverlayError bad_input */
export function decodeHolder(text: string): string {
  return decodeJson(holderSchema, text).HostID
}

export function encodeHolder(hostId: string): string {
  return JSON.stringify({ HostID: hostId })
}

const privateSchema = z.object({ Prefixes: z.array(cidrField) })

/** `<prefix>/private/<HostID>`. @throws OverlayError bad_input */
export function decodePrivatePrefixes(text: string): readonly Cidr[] {
  return decodeJson(privateSchema, text).Prefixes
}

export function encodePrivatePrefixes(prefixes: readonly Cidr[]): string {
  return JSON.stringify({ Prefixes: prefixes.map(formatCidr) })
}
