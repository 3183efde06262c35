import type { PublishedPort } from './host-state.ts'
import { isMissingProgram, run } from './run.ts'

/**
 * The kernel translates a flow of datagrams as it did when the flow began, for as long as it lasts: who
 * goes on asking from one socket would never find a container that came meanwhile. Without the program
 * conntrack such a flow ends when it has paused for two minutes.
 * @throws OverlayError host_state
 */
export async function forgetDatagramFlows(
  ports: readonly Pick<PublishedPort, 'protocol' | 'hostPort'>[],
): Promise<void> {
  for (const { protocol, hostPort } of ports) {
    if (protocol !== 'udp') continue
    try {
      // It ends with 1 when there was none.
      await run('conntrack', ['-D', '-p', 'udp', '--orig-port-dst', String(hostPort)], {
        accept: [1],
      })
    } catch (error) {
      if (!isMissingProgram(error)) throw error
    }
  }
}
