import { waitFor } from './wait.ts'

/** Where programs are run: a namespace, or the one that this process is in. */
export interface Place {
  run(...command: readonly string[]): Promise<string>
}

/**
 * Waits until a device takes packets that is up and has its other end, that of a link or the program behind a
 * TUN. The kernel learns of the carrier in a work queue (net/core/link_watch.c); until then a device drops,
 * uncounted, what is sent on it, and a bridge what comes in there.
 */
export async function untilUp(place: Place, ...devices: readonly string[]): Promise<void> {
  for (const device of devices) {
    await waitFor(
      async () => {
        const shown = await place.run('ip', '-j', 'link', 'show', 'dev', device)
        const [link] = JSON.parse(shown) as [{ readonly operstate: string }]
        return link.operstate === 'UP'
      },
      { what: `${device} to be up`, timeout: 60_000, every: 5 },
    )
  }
}
