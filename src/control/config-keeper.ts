import type { Log } from '../log.ts'
import type { Keyspace } from '../store/keyspace.ts'
import type { ClusterMirror } from '../store/mirror.ts'
import type { Store } from '../store/store.ts'
import { ensureConfig, type ConfigSettings } from '../store/write-config.ts'

export interface ConfigKeeperOptions {
  readonly store: Store
  readonly keys: Keyspace
  readonly mirror: ClusterMirror
  /** What this host's own variables say. */
  readonly settings: ConfigSettings
  readonly log: Log
}

/**
 * The cluster's configuration: written by the first host from its variables, read by all others, and
 * given back to a store that has lost it, as it was.
 */
export class ConfigKeeper {
  readonly #options: ConfigKeeperOptions
  /** As the store last had it. */
  #known: string | null = null
  #port: number | null = null

  constructor(options: ConfigKeeperOptions) {
    this.#options = options
  }

  /** The VXLAN port: the stored one, which wins, or this host's own setting until it is read. */
  get port(): number {
    const { mirror, settings } = this.#options
    return this.#port ?? mirror.view().config?.port ?? settings.vxlanPort
  }

  /** Whether the store has been asked. */
  get isAgreed(): boolean {
    return this.#port !== null
  }

  /** Remembers what the map has: to be called after each change of it. */
  note(): void {
    if (this.#options.mirror.view().config) this.#known = this.#stored() ?? this.#known
  }

  /** Writes or reads the configuration, once. @throws OverlayError bad_input, store_unavailable */
  async ensure(): Promise<void> {
    if (this.isAgreed) return
    const { store, keys, mirror, settings, log } = this.#options
    // The saved map may know it though the store has lost it; own variables may say otherwise.
    await this.#giveBack()
    const { config, warnings } = await ensureConfig(store, keys, settings)
    if (this.isAgreed) return
    this.#port = config.port
    for (const warning of warnings) log.warn(warning)
    await mirror.refresh()
  }

  /** Gives the configuration back to a store that has none any more. @throws OverlayError store_unavailable */
  async restore(): Promise<void> {
    if (this.#known === null || this.#stored() !== undefined) return
    await this.#giveBack()
    await this.#options.mirror.refresh()
  }

  async #giveBack(): Promise<void> {
    if (this.#known === null) return
    const { store, keys } = this.#options
    const key = keys.config()
    await store.commit([{ key, is: 'absent' }], [{ put: key, value: this.#known }])
  }

  #stored(): string | undefined {
    const { keys, mirror } = this.#options
    return mirror.entries().get(keys.config())?.value
  }
}
