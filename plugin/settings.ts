import type { z } from 'zod'
import { LOG_LEVELS } from '../src/log.ts'
import {
  absolutePath,
  dockerAddress,
  dscp,
  etcdEndpoints,
  etcdListen,
  etcdPrefix,
  interfaceName,
  listenAddress,
  oneOf,
  overlayNetwork,
  secret,
  socketPath,
  text,
  unicastIp,
  wholeNumber,
} from './setting-schemas.ts'

/** One environment variable: everything that the program, its documentation and config.json say of it. */
export interface Setting<T> {
  /** What an unset or empty variable stands for; "" leaves the field null (or its list empty). */
  readonly fallback: string
  /** One sentence. */
  readonly meaning: string
  /** Said in place of a value when there is none. */
  readonly whenUnset?: string
  readonly schema: z.ZodType<T, string>
  readonly secret?: true
}

const NONE = 'none'

/** Every variable that the program reads, in the order in which they are documented. */
export const SETTINGS = {
  ETCD_ENDPOINTS: {
    fallback: '',
    meaning: 'URLs of the etcd servers, separated by commas; without any, this host starts its own',
    whenUnset: 'an etcd of its own, started here',
    schema: etcdEndpoints,
  },
  ETCD_PREFIX: {
    fallback: '/overlay-ts',
    meaning: 'Path in etcd under which all keys lie; hosts of one cluster share it',
    schema: etcdPrefix,
  },
  ETCD_CACERT: {
    fallback: '',
    meaning: "File with the certificates (PEM) that sign the etcd servers' own",
    whenUnset: "the system's certificates",
    schema: absolutePath,
  },
  ETCD_CERT: {
    fallback: '',
    meaning: 'File with the certificate (PEM) this host shows to etcd; needs ETCD_KEY',
    whenUnset: NONE,
    schema: absolutePath,
  },
  ETCD_KEY: {
    fallback: '',
    meaning: 'File with the private key (PEM) of ETCD_CERT',
    whenUnset: NONE,
    schema: absolutePath,
  },
  ETCD_USER: {
    fallback: '',
    meaning: 'User name for etcd; needs a password',
    whenUnset: NONE,
    schema: text,
  },
  ETCD_USER_FILE: {
    fallback: '',
    meaning: 'File whose first line is the user name for etcd, in place of ETCD_USER',
    whenUnset: NONE,
    schema: absolutePath,
  },
  ETCD_PASSWORD: {
    fallback: '',
    meaning: 'Password for etcd; a file keeps it out of `docker plugin inspect`',
    whenUnset: NONE,
    schema: secret,
    secret: true,
  },
  ETCD_PASSWORD_FILE: {
    fallback: '',
    meaning: 'File whose first line is the password for etcd, in place of ETCD_PASSWORD',
    whenUnset: NONE,
    schema: absolutePath,
  },
  ETCD_LISTEN: {
    fallback: '',
    meaning: "Address at which other hosts may use this host's own etcd; wants certificates",
    whenUnset: 'this host only',
    schema: etcdListen,
  },
  ETCD_LISTEN_CERT: {
    fallback: '',
    meaning: 'File with the certificate (PEM) that the own etcd shows to other hosts',
    whenUnset: NONE,
    schema: absolutePath,
  },
  ETCD_LISTEN_KEY: {
    fallback: '',
    meaning: 'File with the private key (PEM) of ETCD_LISTEN_CERT',
    whenUnset: NONE,
    schema: absolutePath,
  },
  ETCD_LISTEN_CACERT: {
    fallback: '',
    meaning: 'File with the certificates (PEM) that sign those of the hosts that are let in',
    whenUnset: NONE,
    schema: absolutePath,
  },
  ETCD_INSECURE: {
    fallback: '0',
    meaning: '1 lets everybody who reaches ETCD_LISTEN read and change the map',
    schema: oneOf(['0', '1']),
  },
  IFACE: {
    fallback: '',
    meaning: "Network interface whose address carries this host's tunnel packets",
    whenUnset: "the default route's interface",
    schema: interfaceName,
  },
  HOST_IP: {
    fallback: '',
    meaning:
      'Address that other hosts reach this one at, if not that of IFACE; an IPv6 one makes the tunnels IPv6',
    whenUnset: "the interface's address",
    schema: unicastIp,
  },
  NETWORK: {
    fallback: '10.32.0.0/12',
    meaning: "Addresses of the whole cluster, from which pools and hosts' subnets are cut",
    schema: overlayNetwork,
  },
  POOL_LEN: {
    fallback: '17',
    meaning: "Prefix length of an overlay's pool",
    schema: wholeNumber(0, 28),
  },
  SUBNET_LEN: {
    fallback: '24',
    meaning: "Prefix length of a host's subnet",
    schema: wholeNumber(2, 30),
  },
  VXLAN_PORT: {
    fallback: '8472',
    meaning: 'UDP port of the tunnels, the same on all hosts',
    schema: wholeNumber(1, 65535),
  },
  DATAPATH: {
    fallback: 'userspace',
    meaning: 'Who carries packets between hosts: this process (userspace)',
    schema: oneOf(['userspace'], { kernel: 'the kernel datapath is not part of this version' }),
  },
  WORKERS: {
    fallback: '',
    meaning: 'Threads of the forwarder; each takes 25 MB of memory',
    whenUnset: 'half the cores, 1 to 4',
    schema: wholeNumber(1, 64),
  },
  BUSY_POLL_US: {
    fallback: '100',
    meaning: 'Microseconds a thread looks for the next small packet before it sleeps; 0 for never',
    schema: wholeNumber(0, 1000),
  },
  UDP_SEGMENTATION: {
    fallback: 'auto',
    meaning: 'One send carries many datagrams: on, off, or as the kernel is known to do it well',
    schema: oneOf(['auto', 'on', 'off']),
  },
  UDP_RECEIVE_OFFLOAD: {
    fallback: 'auto',
    meaning: 'One receive brings many datagrams: on, off, or as the kernel is known to do it well',
    schema: oneOf(['auto', 'on', 'off']),
  },
  DSCP: {
    fallback: '0',
    meaning: 'DSCP of the tunnel packets, 0 to 63; "inherit" takes that of the packet inside',
    schema: dscp,
  },
  SOCKET: {
    fallback: '/run/docker/plugins/overlay-ts.sock',
    meaning: "Unix socket on which Docker finds the plugin; its name is the driver's",
    schema: socketPath,
  },
  HOST_SOCKET: {
    fallback: '',
    meaning:
      "A second socket, in the host's folder of plugins: Docker finds a managed plugin by its short name there",
    whenUnset: NONE,
    schema: socketPath,
  },
  HOST_DIR: {
    fallback: '',
    meaning: "Folder below which a plugin in a container finds the host's /run and /proc/sys/net",
    whenUnset: 'this program runs on the host itself',
    schema: absolutePath,
  },
  STATE_DIR: {
    fallback: '/var/lib/overlay-ts',
    meaning: 'Folder for what must survive a restart: identity, networks, endpoints',
    schema: absolutePath,
  },
  ADMIN_LISTEN: {
    fallback: '127.0.0.1:9847',
    meaning: 'Address and port of health checks, metrics and state, for this host only by default',
    schema: listenAddress,
  },
  DOCKER_HOST: {
    fallback: 'unix:///var/run/docker.sock',
    meaning: "Docker's API, from which the names of networks and containers are learned",
    schema: dockerAddress,
  },
  LOG_LEVEL: {
    fallback: 'info',
    meaning: `Least severity that is logged: ${LOG_LEVELS.join(', ')}`,
    schema: oneOf(LOG_LEVELS),
  },
} satisfies Record<string, Setting<unknown>>

export type SettingName = keyof typeof SETTINGS

/** What the variables parse to; null for one that is unset and has no fallback. */
export type SettingValues = {
  readonly [Name in SettingName]:
    | z.output<(typeof SETTINGS)[Name]['schema']>
    | ((typeof SETTINGS)[Name]['fallback'] extends '' ? null : never)
}
