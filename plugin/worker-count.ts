/** Beyond this many workers memory is what more of them cost most: 25 MB each. */
const MOST = 4

/**
 * How many threads the forwarder has unless told: half of the cores, since the programs that talk need
 * the other half. On two cores a second worker only takes the core of those who talk.
 */
export function workersFor(cores: number): number {
  return Math.min(MOST, Math.max(1, Math.floor(cores / 2)))
}
