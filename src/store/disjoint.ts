import { prefixOf, type Cidr } from '../net/cidr.ts'
import { isCidr6, prefixOf6, type Cidr6 } from '../net/cidr6.ts'

/** Of a bigint V8 hashes the lowest 64 bits alone, which are zero in most prefixes: hence text. */
const idOf = (prefix: Cidr | Cidr6): number | string =>
  isCidr6(prefix)
    ? `${prefix.address.toString(36)}/${prefix.length}`
    : prefix.base * 64 + prefix.length

/** The prefix of that length that holds the first address of another. */
const widened = (prefix: Cidr | Cidr6, length: number): Cidr | Cidr6 =>
  isCidr6(prefix) ? prefixOf6(prefix.address, length) : prefixOf(prefix.base, length)

/**
 * A set of prefixes of one family of which no two overlap, each with an owner. Prefixes are nested or
 * apart, so only the lengths in use have to be looked at: a few map reads for each question.
 */
export class DisjointPrefixes<Owner> {
  readonly #owners = new Map<number | string, Owner>()
  /** Every wider prefix, of a length that is asked about, to an owner somewhere inside it. */
  readonly #inside = new Map<number | string, Owner>()
  readonly #lengths: readonly number[]

  /** @param lengths every prefix length that will be added */
  constructor(lengths: Iterable<number>) {
    this.#lengths = [...new Set(lengths)].sort((a, b) => a - b)
  }

  /** Adds the prefix and returns null, or returns the owner it would overlap and adds nothing. */
  add(prefix: Cidr | Cidr6, owner: Owner): Owner | null {
    const wider = this.#lengths
      .filter((length) => length <= prefix.length)
      .map((length) => idOf(widened(prefix, length)))
    const holder =
      wider.map((id) => this.#owners.get(id)).find((found) => found !== undefined) ??
      this.#inside.get(idOf(prefix))
    if (holder !== undefined) return holder
    this.#owners.set(idOf(prefix), owner)
    for (const id of wider) this.#inside.set(id, owner)
    return null
  }
}
