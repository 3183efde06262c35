import { pino } from 'pino'
import type { Claimant } from '../../../src/control/decide-subnet.ts'
import type { Endpoint, HeldSubnet, HeldSubnet6, Network } from '../../../src/control/journal.ts'
import type { Member } from '../../../src/control/members.ts'
import type { Publisher } from '../../../src/control/subnet-value.ts'
import type { Log } from '../../../src/log.ts'
import { formatCidr, parseCidr } from '../../../src/net/cidr.ts'
import { parseCidr6 } from '../../../src/net/cidr6.ts'
import { parseIp } from '../../../src/net/ip.ts'
import { parseIpv4 } from '../../../src/net/ipv4.ts'
import type { Decision } from '../../../src/store/allocate.ts'
import type { ClusterView, Ipv6Half } from '../../../src/store/cluster-view.ts'
import { encodeConfig } from '../../../src/store/config-record.ts'
import {
  encodeHolder,
  encodeHost,
  encodeOverlay,
  encodePrivatePrefixes,
  encodeSubnet,
  type SubnetValue,
} from '../../../src/store/records.ts'
import { keyspace, leaseValue, viewOf } from '../store/view-support.ts'

/** The host whose control plane is tested. */
export const ME = 'a'.repeat(32)
export const OTHER = 'b'.repeat(32)
export const THIRD = 'c'.repeat(32)

export const BY: Publisher = {
  hostId: ME,
  publicIp: parseIpv4('172.18.10.96'),
  vtepMac: '02:11:22:33:44:55',
  mtu: 1450,
  storeLease: '7',
}

/** Asks for the first free subnet, on a host whose own network is in nobody's way. */
export function claimant(changes: Partial<Claimant> = {}): Claimant {
  return {
    ...BY,
    poolLength: 17,
    clash: () => null,
    hazard: () => null,
    random: () => 0,
    ...changes,
  }
}

export const CONFIG = encodeConfig({
  network: parseCidr('10.32.0.0/12'),
  subnetLength: 24,
  port: 8472,
})

/** A view of the cluster with its config and the given keys. */
export function clusterOf(values: Readonly<Record<string, string>> = {}): ClusterView {
  return viewOf({ config: CONFIG, ...values })
}

/** The lease of another host. */
export function lease(changes: Partial<SubnetValue> = {}): string {
  const publicIp = parseIpv4('172.18.10.98')
  return encodeSubnet(
    leaseValue({ hostId: OTHER, publicIp, kind: 'routed', pool: null, ...changes }),
  )
}

export function pooledLease(pool: string, changes: Partial<SubnetValue> = {}): string {
  return lease({ kind: 'pooled', pool: parseCidr(pool), ...changes })
}

export const overlay = (
  vni: number,
  pool: string | null = null,
  pool6: string | null = null,
): string =>
  encodeOverlay({
    vni,
    pool: pool === null ? null : parseCidr(pool),
    subnetLength: pool === null ? null : 24,
    pool6: pool6 === null ? null : parseCidr6(pool6),
  })

export const holder = (hostId: string): string => encodeHolder(hostId)

export const host = (hostname: string, ip: string): string =>
  encodeHost({ hostname, instance: 'i', publicIp: parseIp(ip), version: '0', mtu: 1450 })

export const bridges = (...prefixes: string[]): string =>
  encodePrivatePrefixes(prefixes.map(parseCidr))

/** What a decision writes, a line for each key. */
export function writesOf({ operations }: Decision<unknown>): string[] {
  return operations.map((operation) =>
    'put' in operation
      ? `put ${operation.put.replace(keyspace.root, '')} ${operation.value}${operation.lease === undefined ? '' : ` lease ${operation.lease}`}`
      : `delete ${operation.delete.replace(keyspace.root, '')}`,
  )
}

export function held(subnet: string, changes: Partial<HeldSubnet> = {}): HeldSubnet {
  return {
    subnet,
    kind: 'routed',
    pool: null,
    prefixLength: parseCidr(subnet).length,
    overlay: 'web',
    vni: 4096,
    gateway: subnet.replace(/\.0\/\d+$/, '.1'),
    networkId: 'n'.repeat(64),
    since: 0,
    addresses: null,
    ipv6: null,
    ...changes,
  }
}

export function network(id: string, subnet: string, changes: Partial<Network> = {}): Network {
  return {
    id,
    subnet,
    ipam: 'overlay-ts',
    name: 'web',
    internal: false,
    ipv4: true,
    mtu: null,
    egress: 'docker',
    bridgeMac: null,
    ...changes,
  }
}

export function endpoint(
  id: string,
  networkId: string,
  address: string,
  changes: Partial<Endpoint> = {},
): Endpoint {
  return {
    id,
    networkId,
    address,
    address6: null,
    mac: '02:42:0a:21:05:02',
    answered: { address: false, address6: false, mac: false },
    sandbox: null,
    joinedRoutes: [],
    joinedAt: 0,
    ports: [],
    ...changes,
  }
}

/** The IPv6 half of a lease of another host, as the lease's value has it. */
export const half = (subnet: string, pool: string | null = null): Ipv6Half => ({
  subnet: parseCidr6(subnet),
  pool: pool === null ? null : parseCidr6(pool),
})

/** The IPv6 half of a held subnet, whose addresses are not ours to give. */
export const heldHalf = (subnet: string, pool: string | null = null): HeldSubnet6 => ({
  subnet,
  pool,
  gateway: subnet.replace(/\/\d+$/, '1'),
  addresses: null,
})

/** A network in a subnet, with its containers' addresses. */
export function member(
  id: string,
  subnet: HeldSubnet,
  addresses: readonly string[] = [],
  changes: Partial<Network> = {},
): Member {
  return {
    network: network(id, subnet.subnet, changes),
    held: subnet,
    endpoints: addresses.map((address, index) => endpoint(`${id}-e${index}`, id, address)),
  }
}

/** A log and the sentences that were said through it, each with its level. */
export function recordingLog(): { log: Log; said: string[] } {
  const said: string[] = []
  const levels: Record<number, string> = { 30: 'info', 40: 'warn', 50: 'error', 60: 'fatal' }
  const write = (line: string): void => {
    const { level, msg } = JSON.parse(line) as { level: number; msg: string }
    said.push(`${levels[level]}: ${msg}`)
  }
  return { log: pino({ level: 'info' }, { write }), said }
}

export const texts = (prefixes: readonly { base: number; length: number }[]): string[] =>
  prefixes.map(formatCidr)
