import { messageOf, OverlayError } from '../errors.ts'
import type { Log } from '../log.ts'
import type { Vni } from '../net/vni.ts'
import { allocate } from '../store/allocate.ts'
import type { ClusterView } from '../store/cluster-view.ts'
import type { Keyspace } from '../store/keyspace.ts'
import type { ClusterMirror } from '../store/mirror.ts'
import type { Store } from '../store/store.ts'
import { decideNaming, type NamedOverlay } from './decide-naming.ts'
import { givenBack } from './given-back.ts'
import type { HeldSubnet, Journal } from './journal.ts'
import { withPatience } from './patience.ts'
import type { Publisher } from './publisher.ts'

export interface SubnetNamesOptions {
  readonly store: Store
  readonly keys: Keyspace
  readonly mirror: ClusterMirror
  readonly journal: Journal
  readonly publisher: Publisher
  /** Adds to a view what the store has only just forgotten (WipeGuard). */
  readonly complete: (view: ClusterView) => ClusterView
  readonly log: Log
}

/** Held subnets that come into their overlays once their networks' names are known. */
export class SubnetNames {
  readonly #options: SubnetNamesOptions
  /** Why a held subnet has no overlay although its network's name is known. */
  readonly #refusals = new Map<string, OverlayError>()

  constructor(options: SubnetNamesOptions) {
    this.#options = options
  }

  /**
   * Puts a held subnet into the overlay that its network's name says.
   * @param vni the one that the overlay must have; null takes any
   */
  async name(subnet: string, name: string, vni: Vni | null): Promise<void> {
    const { journal, log } = this.#options
    const held = journal.subnets.get(subnet)
    if (!held || held.overlay !== null) return
    try {
      const overlay = await withPatience(this.#name(held, name, vni))
      await journal.subnets.update(subnet, (mine) => ({
        ...mine,
        overlay: overlay.name,
        vni: overlay.vni,
      }))
      this.#refusals.delete(subnet)
      log.info({ subnet, overlay: overlay.name, vni: overlay.vni }, 'subnet joined its overlay')
    } catch (error) {
      // Given back meanwhile: nobody is left to be refused.
      if (!journal.subnets.get(subnet)) return
      const refusal =
        error instanceof OverlayError
          ? error
          : new OverlayError('host_state', messageOf(error), { cause: error })
      if (this.#refusals.get(subnet)?.message !== refusal.message) {
        log.warn({ subnet, overlay: name, reason: refusal.message }, 'cannot join the overlay')
      }
      this.#refusals.set(subnet, refusal)
    }
  }

  async #name(held: HeldSubnet, name: string, vni: Vni | null): Promise<NamedOverlay> {
    const { store, keys, mirror, journal, publisher, complete } = this.#options
    const overlay = await publisher.writing((by) =>
      allocate(store, keys, (view) => {
        // Asked again each time: what was given back meanwhile must not come back to the store.
        const mine = journal.subnets.get(held.subnet)
        if (!mine) throw givenBack(held.subnet)
        return decideNaming(complete(view), mine, name, by, keys, vni)
      }),
    )
    // The watch brings it too.
    await mirror.refresh().catch(() => undefined)
    return overlay
  }

  /** Why the subnet is in no overlay; null while nothing stands in the way. */
  refusal(subnet: string): OverlayError | null {
    return this.#refusals.get(subnet) ?? null
  }

  /** The subnet was given back. */
  forget(subnet: string): void {
    this.#refusals.delete(subnet)
  }
}
