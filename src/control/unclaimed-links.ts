import { bridgeName, containerVethName, hostVethName, TUN_NAME } from '../linux/host-state.ts'
import type { Journal } from './journal.ts'
import { membersOf } from './members.ts'

/** How long whoever knows better is waited for. */
export const SPARED_MS = 600_000

interface Link {
  readonly name: string
  readonly mac: string
}

/**
 * Links of ours that were there when this process began and that the journal does not know: what an
 * earlier process did not come to remove, or what running containers hang on after the journal was
 * lost. Until it is known which, they stay.
 */
export class UnclaimedLinks {
  readonly #journal: Journal
  #found: { readonly links: ReadonlyMap<string, string>; readonly until: number } | null = null
  #isOver = false

  constructor(journal: Journal) {
    this.#journal = journal
  }

  /** Takes down what is there, at the first call. */
  note(links: Iterable<Link>, now: number): void {
    if (this.#found) return
    // An attachment of a network that is lost itself is wanted by nobody.
    const members = membersOf(this.#journal)
    const claimed = new Set([
      ...members.map(({ network }) => bridgeName(network.id)),
      ...members.flatMap(({ endpoints }) =>
        endpoints.flatMap(({ id }) => [hostVethName(id), containerVethName(id)]),
      ),
      ...(members.length > 0 ? [TUN_NAME] : []),
    ])
    const all = [...links].filter(({ name }) => !claimed.has(name))
    // A TUN alone has nobody behind it.
    const kept = all.some(({ name }) => name !== TUN_NAME) ? all : []
    this.#found = {
      links: new Map(kept.map(({ name, mac }) => [name, mac])),
      until: now + SPARED_MS,
    }
  }

  /** Whether what was there is known. */
  get isNoted(): boolean {
    return this.#found !== null
  }

  /** What must stay for now. */
  spared(now: number): readonly string[] {
    if (this.#found === null || this.#isOver || now >= this.#found.until) return []
    return [...this.#found.links.keys()]
  }

  /** The MAC that the network's bridge had; null when it was claimed, or not there. */
  bridgeMac(networkId: string): string | null {
    return this.#found?.links.get(bridgeName(networkId)) ?? null
  }

  /** Whose they are is known by now. */
  release(): void {
    this.#isOver = true
  }
}
