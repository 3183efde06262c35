import { messageOf, OverlayError } from '../errors.ts'
import { formatCidr, type Cidr } from '../net/cidr.ts'
import type { ClusterConfig } from './cluster-view.ts'
import { decodeConfig, encodeConfig } from './config-record.ts'
import type { Keyspace } from './keyspace.ts'
import type { Store } from './store.ts'

/** What this host's own variables say of the cluster. */
export interface ConfigSettings {
  readonly network: Cidr
  readonly subnetLength: number
  readonly vxlanPort: number
}

export interface AgreedConfig {
  readonly config: ClusterConfig
  /** One sentence for each setting of this host that the stored config overrules. */
  readonly warnings: readonly string[]
}

function decode(key: string, text: string): ClusterConfig {
  try {
    return decodeConfig(text)
  } catch (error) {
    throw new OverlayError('bad_input', `etcd key ${key}: ${messageOf(error)}`, { cause: error })
  }
}

function differences(config: ClusterConfig, settings: ConfigSettings, key: string): string[] {
  const rows: [string, string | number, string | number][] = [
    ['NETWORK', formatCidr(settings.network), formatCidr(config.network)],
    ['SUBNET_LEN', settings.subnetLength, config.subnetLength],
    ['VXLAN_PORT', settings.vxlanPort, config.port],
  ]
  return rows
    .filter(([, mine, stored]) => mine !== stored)
    .map(
      ([name, mine, stored]) =>
        `${name} is ${mine} here but ${stored} in etcd key ${key}, which wins for every host`,
    )
}

/**
 * The cluster's config: written from the settings by the first host, read by all others.
 * @throws OverlayError bad_input for settings or a stored config that break a rule (with a pointer
 *   to the field), store_unavailable
 */
export async function ensureConfig(
  store: Store,
  keyspace: Keyspace,
  settings: ConfigSettings,
): Promise<AgreedConfig> {
  const key = keyspace.config()
  const { network, subnetLength, vxlanPort: port } = settings
  const value = encodeConfig({ network, subnetLength, port })
  const read = async (): Promise<string | undefined> =>
    (await store.range(key)).entries.get(key)?.value

  let stored = await read()
  if (stored === undefined) {
    const config = decode(key, value)
    const { succeeded } = await store.commit([{ key, is: 'absent' }], [{ put: key, value }])
    if (succeeded) return { config, warnings: [] }
    stored = await read()
  }
  if (stored === undefined) {
    throw new OverlayError('conflict', `etcd key ${key} is being removed as we write it; try again`)
  }
  const config = decode(key, stored)
  return { config, warnings: differences(config, settings, key) }
}
