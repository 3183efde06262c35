import { z } from 'zod'
import { messageOf } from '../errors.ts'
import {
  containsIp,
  formatCidr,
  lastOf,
  maskOf,
  parseInterfaceAddress,
  prefixOf,
  sizeOf,
  type Cidr,
} from '../net/cidr.ts'
import { formatIpv4, type Ipv4 } from '../net/ipv4.ts'
import { MAX_VNI } from '../net/vni.ts'
import type { ClusterConfig } from './cluster-view.ts'
import { decodeJson, ipv4Field } from './json-value.ts'

/** The VNI that flannel's vxlan backend takes when none is given. */
export const FLANNEL_VNI = 1
/** The port that the kernel's vxlan device, and so flannel, takes when none is given. */
export const FLANNEL_PORT = 8472

const FIELDS = ['Network', 'SubnetLen', 'SubnetMin', 'SubnetMax', 'EnableIPv4', 'Backend']
const BACKEND_FIELDS = ['Type', 'VNI', 'Port']

/** Go's encoding/json matches object keys without regard to case; so does this, for the given keys. */
function anyCase(names: readonly string[]) {
  return (value: unknown): unknown => {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return value
    const spelled = new Map(names.map((name) => [name.toLowerCase(), name]))
    return Object.fromEntries(
      Object.entries(value).map(([key, field]) => [spelled.get(key.toLowerCase()) ?? key, field]),
    )
  }
}

/** Like Go's net.ParseCIDR, host bits are dropped: flannel reads 10.5.1.7/16 as 10.5.0.0/16. */
const networkField = z.string().transform((text, context) => {
  try {
    const { ip, length } = parseInterfaceAddress(text)
    return prefixOf(ip, length)
  } catch (error) {
    context.issues.push({ code: 'custom', message: messageOf(error), input: text })
    return z.NEVER
  }
})

const backendSchema = z.preprocess(
  anyCase(BACKEND_FIELDS),
  z.object({
    Type: z.literal('vxlan', 'only the backend "vxlan" can be joined'),
    VNI: z.int().min(0).max(MAX_VNI).default(FLANNEL_VNI),
    Port: z.int().min(0).max(65_535).default(0),
  }),
)

const fieldsSchema = z.preprocess(
  anyCase(FIELDS),
  z.object({
    EnableIPv4: z.literal(true, 'an IPv6-only flannel network cannot be joined').default(true),
    Network: networkField,
    SubnetLen: z.int().min(0).max(30).default(0),
    SubnetMin: ipv4Field.optional(),
    SubnetMax: ipv4Field.optional(),
    Backend: backendSchema.nullish(),
  }),
)

type Fields = z.output<typeof fieldsSchema>

/** flannel's default: a /24 for each host where at least four fit, else a quarter of the network. */
function subnetLengthOf(fields: Fields, context: z.RefinementCtx): number {
  const { Network: network, SubnetLen: length } = fields
  const wrong = (path: string, message: string): number => {
    context.addIssue({ code: 'custom', path: [path], message })
    return 24
  }
  if (length === 0) {
    if (network.length > 28) {
      return wrong(
        'Network',
        `${formatCidr(network)} is too small: a /28 is the least that is useful`,
      )
    }
    return network.length <= 22 ? 24 : network.length + 2
  }
  if (length < network.length + 2) {
    return wrong(
      'SubnetLen',
      `${length} is too short: at least four subnets must fit into ${formatCidr(network)}, so ${network.length + 2} or more`,
    )
  }
  return length
}

function boundary(
  fields: Fields,
  path: 'SubnetMin' | 'SubnetMax',
  network: Cidr,
  length: number,
  context: z.RefinementCtx,
): Ipv4 | undefined {
  const ip = fields[path]
  if (ip === undefined || ip === 0) return undefined
  const text = formatIpv4(ip)
  if (!containsIp(network, ip)) {
    context.addIssue({
      code: 'custom',
      path: [path],
      message: `${text} is outside ${formatCidr(network)}`,
    })
  } else if ((ip & maskOf(length)) >>> 0 !== ip) {
    context.addIssue({
      code: 'custom',
      path: [path],
      message: `${text} does not begin a /${length}`,
    })
  }
  return ip
}

/**
 * flannel's network configuration with its defaults and rules (flannel pkg/subnet/config.go):
 * the first subnet is skipped on purpose, SubnetMin and SubnetMax lie on subnet boundaries.
 */
const configSchema: z.ZodType<ClusterConfig> = fieldsSchema.transform((fields, context) => {
  const network = fields.Network
  const subnetLength = subnetLengthOf(fields, context)
  const size = sizeOf({ base: network.base, length: subnetLength })
  const subnetMin =
    boundary(fields, 'SubnetMin', network, subnetLength, context) ?? network.base + size
  const subnetMax =
    boundary(fields, 'SubnetMax', network, subnetLength, context) ?? lastOf(network) + 1 - size
  if (context.issues.length === 0 && subnetMin > subnetMax) {
    context.addIssue({ code: 'custom', path: ['SubnetMin'], message: 'is beyond SubnetMax' })
  }
  if (!fields.Backend) {
    context.addIssue({
      code: 'custom',
      path: ['Backend'],
      message: 'is missing, which means "udp" to flannel; write {"Type":"vxlan"}',
    })
    return z.NEVER
  }
  const { VNI: vni, Port: port } = fields.Backend
  return {
    network,
    subnetLength,
    subnetMin,
    subnetMax,
    vni,
    port: port === 0 ? FLANNEL_PORT : port,
  }
})

/** `<prefix>/config`. @throws OverlayError bad_input: "/SubnetLen: …" */
export function decodeConfig(text: string): ClusterConfig {
  return decodeJson(configSchema, text)
}

/** What is written for a cluster that has no config yet; flannel reads it too. */
export function encodeConfig(config: {
  readonly network: Cidr
  readonly subnetLength: number
  readonly port: number
}): string {
  return JSON.stringify({
    Network: formatCidr(config.network),
    SubnetLen: config.subnetLength,
    Backend: { Type: 'vxlan', VNI: FLANNEL_VNI, Port: config.port },
  })
}
