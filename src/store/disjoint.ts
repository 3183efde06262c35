import { prefixOf, type Cidr } from '../net/cidr.ts'

const idOf = (prefix: Cidr): number => prefix.base * 64 + prefix.length

/**
 * A set of prefixes of which no two overlap, each with an owner. Prefixes are nested or apart, so
 * only the lengths in use have to be looked at: a few map reads for each question.
 */
export class DisjointPrefixes<Owner> {
  readonly #owners = new Map<number, Owner>()
  /** Every wider prefix, of a length that is asked about, to an owner somewhere inside it. */
  readonly #inside = new Map<number, Owner>()
  readonly #lengths: readonly number[]

  /** @param lengths every prefix length that will be added */
  constructor(lengths: Iterable<number>) {
    this.#lengths = [...new Set(lengths)].sort((a, b) => a - b)
  }

  /** Adds the prefix and returns null, or returns the owner it would overlap and adds nothing. */
  add(prefix: Cidr, owner: Owner): Owner | null {
    const wider = this.#lengths
      .filter((length) => length <= prefix.length)
      .map((length) => idOf(prefixOf(prefix.base, length)))
    const holder =
      wider.map((id) => this.#owners.get(id)).find((found) => found !== undefined) ??
      this.#inside.get(idOf(prefix))
    if (holder !== undefined) return holder
    this.#owners.set(idOf(prefix), owner)
    for (const id of wider) this.#inside.set(id, owner)
    return null
  }
}
