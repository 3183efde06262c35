import { setTimeout as sleep } from 'node:timers/promises'
import { OverlayError } from '../errors.ts'
import type { Journal } from './journal.ts'

/** Docker tells a network's name right after it was created; a container may come as soon. */
const PATIENCE_MS = 5000
const LOOK_EVERY_MS = 20

/**
 * Waits until the network is in an overlay, so that no container starts in a network that leads
 * nowhere.
 * @throws OverlayError whatever keeps it from its overlay, in the words for the user of Docker
 */
export async function untilNamed(
  journal: Journal,
  networkId: string,
  refusal: (subnet: string) => OverlayError | null,
): Promise<void> {
  for (let waited = 0; ; waited += LOOK_EVERY_MS) {
    const network = journal.networks.get(networkId)
    const held = network && journal.subnets.get(network.subnet)
    if (!held || held.vni !== 0) return
    const reason = refusal(held.subnet)
    if (reason) throw reason
    if (waited >= PATIENCE_MS) {
      throw new OverlayError(
        'host_state',
        `the name of this network is not known yet, so its overlay is not either; see that Docker's event stream is reached (DOCKER_HOST), or make the network with -o overlay=NAME, which needs no name`,
      )
    }
    await sleep(LOOK_EVERY_MS)
  }
}
