import type { HeldSubnet } from './journal.ts'

/**
 * The held subnet that a request for an IPv6 pool is the other half of. Docker asks for the pools of a
 * network one after the other and says in neither call what it is for: so it is the youngest subnet that
 * no network has yet, that has no IPv6, and that was asked for with the same overlay.
 * @param overlay as `--ipam-opt overlay=` names it; null where nothing does
 * @param oldest milliseconds since the epoch: what was leased before is given back any moment
 */
export function awaitingHalf(
  held: readonly HeldSubnet[],
  overlay: string | null,
  oldest: number,
): HeldSubnet | undefined {
  return held
    .filter(
      (each) =>
        each.networkId === null &&
        each.ipv6 === null &&
        each.kind !== 'docker' &&
        each.since > oldest &&
        isOf(each, overlay),
    )
    .reduce<HeldSubnet | undefined>(
      (youngest, each) => (youngest && youngest.since > each.since ? youngest : each),
      undefined,
    )
}

/** A pool that was given alone (`--subnet`) may have led to the overlay that owns it. */
const isOf = (held: HeldSubnet, overlay: string | null): boolean =>
  held.overlay === overlay || (overlay === null && held.pool !== null)
