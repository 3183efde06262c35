import { readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import type { UdpReceiveOffload, UdpSegmentation } from '../src/datapath/udp-offload.ts'
import { messageOf, OverlayError } from '../src/errors.ts'
import { OWN_PATHS, pathsBelow, type HostPaths } from '../src/linux/host-paths.ts'
import type { LogLevel } from '../src/log.ts'
import { formatCidr, type Cidr } from '../src/net/cidr.ts'
import type { Ip } from '../src/net/ip.ts'
import { nearMiss } from './near-miss.ts'
import { ownEtcdOf, type OwnEtcd } from './own-etcd.ts'
import { Secret } from './secret.ts'
import type { ListenAddress } from './setting-schemas.ts'
import { SETTINGS, type Setting, type SettingName, type SettingValues } from './settings.ts'
import { workersFor } from './worker-count.ts'

/** How to reach etcd. */
export interface EtcdConfig {
  /** Origins such as "http://172.18.10.95:2379". Empty: this process starts etcd itself. */
  readonly endpoints: readonly string[]
  readonly prefix: string
  /** PEM texts, not paths. */
  readonly tls: { readonly ca: string; readonly cert?: string; readonly key?: Secret } | null
  readonly auth: { readonly user: string; readonly password: Secret } | null
  /** How the etcd is reached that this process starts; null when endpoints are given. */
  readonly own: OwnEtcd | null
}

/** A variable as it took effect. */
export interface EffectiveSetting {
  readonly name: SettingName
  readonly value: string
  readonly isDefault: boolean
}

/** Everything that the environment decides. */
export interface Config {
  readonly etcd: EtcdConfig
  /** null: the default route's interface. */
  readonly iface: string | null
  /** null: the interface's IPv4 address. */
  readonly hostIp: Ip | null
  readonly network: Cidr
  readonly poolLength: number
  readonly subnetLength: number
  readonly vxlanPort: number
  readonly datapath: 'userspace'
  readonly workers: number
  readonly busyPollUs: number
  readonly udpSegmentation: UdpSegmentation
  readonly udpReceiveOffload: UdpReceiveOffload
  readonly dscp: number | 'inherit'
  readonly socket: string
  /** null: none but `socket`. */
  readonly hostSocket: string | null
  readonly paths: HostPaths
  readonly stateDir: string
  readonly adminListen: ListenAddress
  /** "unix:///path" or "tcp://host:port" */
  readonly dockerHost: string
  readonly logLevel: LogLevel
  readonly effective: readonly EffectiveSetting[]
}

export type Environment = Readonly<Record<string, string | undefined>>

const NAMES = Object.keys(SETTINGS) as SettingName[]

/**
 * The configuration from environment variables; an empty one counts as unset, since
 * `docker plugin set` cannot unset. Reads the files that variables name, and touches nothing else.
 * @throws OverlayError bad_input that lists everything wrong, a line each
 */
export function loadConfig(env: Environment): Config {
  const problems: string[] = []
  const values = readSettings(env, problems)
  const etcd = assembleEtcd(values, problems)
  checkLengths(values, problems)
  reportNearMisses(env, problems)
  if (problems.length > 0) {
    throw new OverlayError('bad_input', `the configuration is wrong:\n  ${problems.join('\n  ')}`)
  }
  const all = values as SettingValues
  return {
    etcd,
    iface: all.IFACE,
    hostIp: all.HOST_IP,
    network: all.NETWORK,
    poolLength: all.POOL_LEN,
    subnetLength: all.SUBNET_LEN,
    vxlanPort: all.VXLAN_PORT,
    datapath: all.DATAPATH,
    workers: all.WORKERS ?? workersFor(availableParallelism()),
    busyPollUs: all.BUSY_POLL_US,
    udpSegmentation: all.UDP_SEGMENTATION,
    udpReceiveOffload: all.UDP_RECEIVE_OFFLOAD,
    dscp: all.DSCP,
    socket: all.SOCKET,
    hostSocket: all.HOST_SOCKET,
    paths: all.HOST_DIR === null ? OWN_PATHS : pathsBelow(all.HOST_DIR),
    stateDir: all.STATE_DIR,
    adminListen: all.ADMIN_LISTEN,
    dockerHost: all.DOCKER_HOST,
    logLevel: all.LOG_LEVEL,
    effective: NAMES.map((name) => effective(name, env)),
  }
}

/** Values that parsed; a wrong one is missing and has a line among the problems. */
type Readable = { readonly [Name in SettingName]?: SettingValues[Name] }

function readSettings(env: Environment, problems: string[]): Readable {
  const values: [SettingName, unknown][] = []
  for (const name of NAMES) {
    const setting: Setting<unknown> = SETTINGS[name]
    const found = given(name, env) ?? setting.fallback
    if (found === '') {
      values.push([name, null])
      continue
    }
    const parsed = setting.schema.safeParse(found)
    if (parsed.success) values.push([name, parsed.data])
    else {
      const shown = setting.secret ? '[redacted]' : `"${found}"`
      problems.push(hidePasswords(`${name}: found ${shown}, ${parsed.error.issues[0]!.message}`))
    }
  }
  return Object.fromEntries(values)
}

/** "http://root:secret@host" is a wrong endpoint, and no reason to show the password. */
function hidePasswords(text: string): string {
  return text.replaceAll(/[^\s"/,]+@/g, '[redacted]@')
}

function assembleEtcd(values: Readable, problems: string[]): EtcdConfig {
  const endpoints = values.ETCD_ENDPOINTS ?? []
  const ca = contentOf('ETCD_CACERT', values.ETCD_CACERT, problems)
  const cert = contentOf('ETCD_CERT', values.ETCD_CERT, problems)
  const key = contentOf('ETCD_KEY', values.ETCD_KEY, problems)
  const user = eitherOf('ETCD_USER', values.ETCD_USER, values.ETCD_USER_FILE, problems)
  const password = eitherOf(
    'ETCD_PASSWORD',
    values.ETCD_PASSWORD?.reveal(),
    values.ETCD_PASSWORD_FILE,
    problems,
  )
  needsOther(values, 'ETCD_CERT', 'ETCD_CACERT', problems)
  needsOther(values, 'ETCD_CERT', 'ETCD_KEY', problems)
  needsOther(values, 'ETCD_KEY', 'ETCD_CERT', problems)
  if (endpoints.some((endpoint) => endpoint.startsWith('http:'))) {
    for (const name of ['ETCD_CACERT', 'ETCD_CERT'] as const) {
      if (typeof values[name] === 'string') {
        problems.push(`${name}: is of use only with https, found ${endpoints.join(',')}`)
      }
    }
  }
  if ((user === null) !== (password === null)) {
    const [has, lacks] = user === null ? ['PASSWORD', 'USER'] : ['USER', 'PASSWORD']
    problems.push(`ETCD_${lacks}: wanted since ETCD_${has} is set, found nothing`)
  }
  return {
    endpoints,
    prefix: values.ETCD_PREFIX ?? '',
    tls: ca === null ? null : { ca, ...(cert && key && { cert, key: new Secret(key) }) },
    auth: user === null || password === null ? null : { user, password: new Secret(password) },
    own: ownEtcdOf(values, problems),
  }
}

function needsOther(
  values: Readable,
  name: SettingName,
  other: SettingName,
  problems: string[],
): void {
  if (typeof values[name] === 'string' && values[other] === null) {
    problems.push(`${other}: wanted since ${name} is set, found nothing`)
  }
}

/** The value itself or the first line of the file named instead. */
function eitherOf(
  name: 'ETCD_USER' | 'ETCD_PASSWORD',
  value: string | null | undefined,
  path: string | null | undefined,
  problems: string[],
): string | null {
  if (value && path) problems.push(`${name}: wanted this or ${name}_FILE, found both`)
  if (!path) return value ?? null
  const line = contentOf(`${name}_FILE`, path, problems)?.split('\n')[0]?.trim()
  if (line === '') problems.push(`${name}_FILE: found nothing in the first line of ${path}`)
  return line ?? null
}

function contentOf(
  name: string,
  path: string | null | undefined,
  problems: string[],
): string | null {
  if (!path) return null
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    problems.push(`${name}: found a file that cannot be read (${messageOf(error)})`)
    return null
  }
}

/** flannel's rules for SubnetLen (pkg/subnet/config.go), and the same thought for a pool. */
function checkLengths(values: Readable, problems: string[]): void {
  const { NETWORK: network, POOL_LEN: pool, SUBNET_LEN: subnet } = values
  if (!network || subnet === undefined) return
  if (subnet < network.length + 2) {
    problems.push(
      `SUBNET_LEN: found ${subnet}, wanted ${network.length + 2} to 30, so that NETWORK ` +
        `${formatCidr(network)} holds at least four subnets`,
    )
  } else if (pool !== undefined && (pool < network.length || pool > subnet - 2)) {
    problems.push(
      `POOL_LEN: found ${pool}, wanted ${network.length} to ${subnet - 2}, between NETWORK ` +
        `${formatCidr(network)} and four subnets of SUBNET_LEN ${subnet}`,
    )
  }
}

function reportNearMisses(env: Environment, problems: string[]): void {
  for (const name of Object.keys(env)) {
    const meant = nearMiss(name, NAMES)
    if (meant !== null && env[name] !== '') {
      problems.push(`${name}: there is no such variable; did you mean ${meant}`)
    }
  }
}

function given(name: SettingName, env: Environment): string | null {
  return env[name]?.trim() || null
}

function effective(name: SettingName, env: Environment): EffectiveSetting {
  const setting: Setting<unknown> = SETTINGS[name]
  const own = given(name, env)
  const value = own ?? setting.fallback
  return {
    name,
    value: value === '' ? (setting.whenUnset ?? '') : setting.secret ? '[redacted]' : value,
    isDefault: own === null,
  }
}
