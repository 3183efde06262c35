import { formatCidr } from '../net/cidr.ts'
import type { ClusterView, OverlayRecord, SubnetLease } from '../store/cluster-view.ts'
import { DisjointPrefixes } from '../store/disjoint.ts'
import { isNewer } from '../store/revision.ts'

/**
 * How long what the store has forgotten still stands. Every owner writes its own part back as soon as
 * it reaches the store, at the latest some seconds after it came back.
 */
export const GRACE_MS = 60_000

/**
 * An etcd that was emptied, or restored from an older backup, says that whole hosts are gone while
 * they are not. So for a minute what it said before stands wherever nothing contradicts it: routes
 * stay, and nobody is given what another host has.
 */
export class WipeGuard {
  readonly #hostId: string
  readonly #onWipe: () => void
  /** The store's own words, and what was made of them. */
  #last: { readonly raw: ClusterView; readonly complete: ClusterView } | null = null
  #before: { readonly view: ClusterView; readonly until: number } | null = null

  constructor(hostId: string, onWipe: () => void) {
    this.#hostId = hostId
    this.#onWipe = onWipe
  }

  /** What the mirror shows, each view in its turn, completed by what was there before a wipe. */
  follow(raw: ClusterView, now: number): ClusterView {
    const isOver = this.#before !== null && now >= this.#before.until
    if (this.#last?.raw === raw && !isOver) return this.#last.complete
    if (isOver) this.#before = null
    if (this.#last !== null && wasWiped(this.#last.raw, raw)) {
      this.#before = { view: this.#last.complete, until: now + GRACE_MS }
      this.#onWipe()
    }
    const complete = this.#before ? completed(raw, this.#before.view, this.#hostId) : raw
    this.#last = { raw, complete }
    return complete
  }

  /** The same for a view that was read for a decision and that the mirror may not have yet. */
  complete(raw: ClusterView, now: number): ClusterView {
    if (this.#last !== null && wasWiped(this.#last.raw, raw)) {
      return completed(raw, this.#last.complete, this.#hostId)
    }
    const before = this.#before
    return before && now < before.until ? completed(raw, before.view, this.#hostId) : raw
  }
}

/** Keys expire one by one, but a store's revision never goes back and its config never goes. */
function wasWiped(before: ClusterView, after: ClusterView): boolean {
  return (
    isNewer(before.revision, after.revision) || (before.config !== null && after.config === null)
  )
}

/** What is there, and of what was there all that it does not contradict; this host's own part is the journal's. */
function completed(now: ClusterView, before: ClusterView, hostId: string): ClusterView {
  return {
    ...now,
    config: now.config ?? before.config,
    subnets: completedSubnets(now, before, hostId),
    overlays: completedOverlays(now, before),
    holders: new Map([
      ...[...before.holders].filter(([, holder]) => holder !== hostId),
      ...now.holders,
    ]),
    privatePrefixes: new Map([...before.privatePrefixes, ...now.privatePrefixes]),
  }
}

function completedSubnets(
  now: ClusterView,
  before: ClusterView,
  hostId: string,
): ReadonlyMap<string, SubnetLease> {
  const subnets = new Map(now.subnets)
  const all = [...now.subnets.values(), ...before.subnets.values()]
  const taken = new DisjointPrefixes<true>(all.map(({ subnet }) => subnet.length))
  const taken6 = new DisjointPrefixes<true>(all.flatMap(({ ipv6 }) => ipv6?.subnet.length ?? []))
  for (const { subnet, ipv6 } of now.subnets.values()) {
    taken.add(subnet, true)
    if (ipv6) taken6.add(ipv6.subnet, true)
  }
  for (const lease of before.subnets.values()) {
    if (lease.hostId === hostId || taken.add(lease.subnet, true) !== null) continue
    const isSound = lease.ipv6 === null || taken6.add(lease.ipv6.subnet, true) === null
    subnets.set(formatCidr(lease.subnet), isSound ? lease : { ...lease, ipv6: null })
  }
  return subnets
}

function completedOverlays(
  now: ClusterView,
  before: ClusterView,
): ReadonlyMap<string, OverlayRecord> {
  const overlays = new Map(now.overlays)
  const vnis = new Set(now.overlays.values().map(({ vni }) => vni))
  for (const overlay of before.overlays.values()) {
    if (overlays.has(overlay.name) || vnis.has(overlay.vni)) continue
    overlays.set(overlay.name, overlay)
  }
  return overlays
}
