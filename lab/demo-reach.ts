import { z } from 'zod'
import { OverlayError } from '../src/errors.ts'
import { waitFor } from '../test/support/wait.ts'
import type { Container } from './container.ts'
import type { Notes } from './demo-steps.ts'
import type { DockerHost } from './docker-host.ts'
import { textTable } from './text-table.ts'

/** A container of the demonstration, with its address in the overlay. */
export interface Placed {
  readonly container: Container
  readonly overlay: string
  readonly ip: string
}

const nameOf = ({ container }: Placed): string => container.name

/** Each pings each other one and asks it over TCP whom it sees. @throws OverlayError when a pair is cut or disguised */
export async function showReachability(placed: readonly Placed[], notes: Notes): Promise<void> {
  const [first, second] = placed
  if (first && second) {
    notes.command(first.container.host.name, pingLine(first, second, '-c 2 -W 2'))
    notes.command(first.container.host.name, askLine(first, second))
  }
  const rows = await Promise.all(
    pairs(placed, placed).map(async ([from, to]) => {
      const pair = `${nameOf(from)} to ${nameOf(to)}`
      const trip = await waitFor(() => ping(from, to), {
        what: `${pair} to answer`,
        timeout: 60_000,
      })
      const seen = await waitFor(() => ask(from, to), {
        what: `the service of ${pair}`,
        timeout: 60_000,
      })
      if (seen !== from.ip) {
        throw new OverlayError('host_state', `${pair}: the peer saw ${seen}, not ${from.ip}`)
      }
      return [nameOf(from), from.ip, nameOf(to), to.ip, trip, seen]
    }),
  )
  const heading = ['from', '', 'to', '', 'round trip', 'source the peer saw']
  notes.lines(...textTable([heading, ...rows]))
}

/**
 * No container of one overlay reaches one of the other, be it on the same host; the hosts count what
 * they dropped. @throws OverlayError
 */
export async function showIsolation(
  some: readonly Placed[],
  others: readonly Placed[],
  notes: Notes,
): Promise<void> {
  const hosts = [...new Set([...some, ...others].map(({ container }) => container.host))]
  const before = await droppedBy(hosts)
  const tried = [...pairs(some, others), ...pairs(others, some)]
  const rows = await Promise.all(
    tried.map(async ([from, to]) => {
      const [pinged, seen] = await Promise.all([
        from.container.reaches(to.ip),
        from.container.sourceSeenBy(to.ip, 1).catch(() => ''),
      ])
      if (pinged || seen !== '') {
        throw new OverlayError('host_state', `${nameOf(from)} reaches ${nameOf(to)} (${to.ip})`)
      }
      return [nameOf(from), nameOf(to), to.ip, 'no answer']
    }),
  )
  const dropped = (await droppedBy(hosts)) - before
  const [first] = tried
  if (first) notes.command(first[0].container.host.name, pingLine(...first, '-c 1 -W 1'))
  notes.lines(...textTable([['from', 'to', '', 'ping and TCP'], ...rows]))
  notes.lines(
    `${tried.length} pairs, on one host and across hosts; ${dropped} packets dropped by the hosts' rules`,
  )
}

const stateSchema = z.looseObject({
  isolation: z.record(z.string(), z.object({ packets: z.number() })),
})

async function droppedBy(hosts: readonly DockerHost[]): Promise<number> {
  const states = await Promise.all(hosts.map((host) => host.admin('/v1/state')))
  return states
    .flatMap((text) => Object.values(stateSchema.parse(JSON.parse(text)).isolation))
    .reduce((sum, { packets }) => sum + packets, 0)
}

const pingLine = (from: Placed, to: Placed, options: string): string =>
  `docker exec ${nameOf(from)} ping ${options} ${to.ip}`

const askLine = (from: Placed, to: Placed): string =>
  `docker exec ${nameOf(from)} wget -q -O - http://${to.ip}/cgi-bin/peer`

async function ping(from: Placed, to: Placed): Promise<string> {
  const said = await from.container.exec('ping', '-c', '2', '-W', '2', to.ip)
  // "round-trip min/avg/max = 0.213/0.300/0.387 ms"
  const least = /= ([\d.]+)\//.exec(said)?.[1]
  return least === undefined ? '' : `${Number(least).toFixed(2)} ms`
}

async function ask(from: Placed, to: Placed): Promise<string> {
  return (await from.container.sourceSeenBy(to.ip)).trim()
}

function pairs(froms: readonly Placed[], tos: readonly Placed[]): [Placed, Placed][] {
  return froms.flatMap((from) =>
    tos.filter((to) => to !== from).map((to): [Placed, Placed] => [from, to]),
  )
}
