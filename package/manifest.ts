import { SETTINGS, type Setting, type SettingName } from '../plugin/settings.ts'

/** A folder of the host that the managed plugin sees. */
export interface Mount {
  readonly name: string
  /** One sentence: what for. */
  readonly description: string
  readonly source: string
  readonly destination: string
  readonly type: 'bind'
  readonly options: readonly string[]
  readonly settable: readonly ('source' | 'destination' | 'options')[]
}

/** A variable of the managed plugin's environment. */
export interface Variable {
  readonly name: string
  readonly description: string
  readonly settable: readonly 'value'[]
  readonly value: string
}

/** The manifest of a managed plugin, config.json (moby api/types/plugin Config). */
export interface Manifest {
  readonly description: string
  readonly documentation: string
  readonly entrypoint: readonly string[]
  readonly workDir: string
  readonly interface: { readonly types: readonly string[]; readonly socket: string }
  readonly network: { readonly type: 'host' }
  readonly linux: {
    readonly capabilities: readonly string[]
    readonly allowAllDevices: boolean
    readonly devices: readonly {
      readonly name: string
      readonly description: string
      readonly path: string
      readonly settable: readonly 'path'[]
    }[]
  }
  readonly mounts: readonly Mount[]
  readonly env: readonly Variable[]
  readonly args: {
    readonly name: string
    readonly description: string
    readonly settable: readonly 'value'[]
    readonly value: readonly string[]
  }
  readonly pidHost: boolean
  readonly ipcHost: boolean
  readonly propagatedMount: string
}

/** Settings whose default is another inside the plugin than on a host: it sees the host's folders below /host. */
const INSIDE: Readonly<Partial<Record<SettingName, string>>> = {
  DOCKER_HOST: 'unix:///host/run/docker.sock',
  HOST_DIR: '/host',
  HOST_SOCKET: '/host/run/docker/plugins/overlay-ts.sock',
}

/** What Node itself reads; as the systemd unit has it. */
const NODE: readonly Variable[] = [
  {
    name: 'NODE_OPTIONS',
    description: "Node's own options; this one makes the process 40 MB smaller",
    settable: ['value'],
    value: '--max-semi-space-size=2',
  },
  {
    name: 'NODE_COMPILE_CACHE',
    description: 'Folder of compiled code, so that the program starts faster',
    settable: [],
    value: '/app/.compile-cache',
  },
]

/**
 * Everything that a managed overlay-ts asks of Docker. docs/plugin.md says why each privilege is
 * needed; Docker gives every plugin its default capabilities besides (CAP_NET_RAW is one).
 */
export function manifest(): Manifest {
  return {
    description: 'Containers on different machines reach each other by their own IPs',
    documentation: 'docs/plugin.md',
    entrypoint: ['/usr/local/bin/node', '/app/plugin/main.ts'],
    workDir: '/app',
    interface: {
      types: ['docker.networkdriver/1.0', 'docker.ipamdriver/1.0'],
      socket: 'overlay-ts.sock',
    },
    network: { type: 'host' },
    linux: {
      capabilities: ['CAP_NET_ADMIN', 'CAP_SYS_ADMIN'],
      allowAllDevices: false,
      devices: [
        {
          name: 'tun',
          description: 'Makes the one TUN device of the host',
          path: '/dev/net/tun',
          settable: ['path'],
        },
      ],
    },
    // In this order: the second lies inside the first. Neither may be shared with the host, as a bind is by itself:
    // at each start the second would be mounted once more on the host, too.
    mounts: [
      {
        name: 'run',
        description:
          "Docker's socket and the resolver's file; as a folder, since dockerd makes its socket anew",
        source: '/run',
        destination: '/host/run',
        type: 'bind',
        options: ['bind', 'rslave', 'ro'],
        settable: ['source'],
      },
      {
        name: 'docker',
        description:
          "Docker's plugin folder, for the short driver name, and its network sandboxes, for routes in running containers",
        source: '/run/docker',
        destination: '/host/run/docker',
        type: 'bind',
        options: ['rbind', 'rslave', 'rw'],
        settable: ['source'],
      },
      {
        name: 'sysctls',
        description: "The host's network settings: a plugin's own /proc/sys is read-only",
        source: '/proc/sys/net',
        destination: '/host/proc/sys/net',
        type: 'bind',
        options: ['bind', 'rprivate', 'rw'],
        settable: [],
      },
      {
        name: 'certs',
        description:
          'Certificates, keys and passwords for etcd, for ETCD_CACERT and the like to name',
        source: '/etc/ssl/certs',
        destination: '/certs',
        type: 'bind',
        options: ['rbind', 'ro'],
        settable: ['source'],
      },
    ],
    env: [...settingVariables(), ...NODE],
    args: {
      name: 'args',
      description: 'Arguments of the program, such as --check',
      settable: ['value'],
      value: [],
    },
    pidHost: false,
    ipcHost: false,
    propagatedMount: SETTINGS.STATE_DIR.fallback,
  }
}

function settingVariables(): Variable[] {
  const settings = Object.entries(SETTINGS) as [SettingName, Setting<unknown>][]
  return settings.map(([name, { meaning, fallback }]) => ({
    name,
    description: meaning,
    settable: ['value'],
    value: INSIDE[name] ?? fallback,
  }))
}

/** The text of config.json. */
export function manifestText(): string {
  return `${JSON.stringify(manifest(), null, 2)}\n`
}
