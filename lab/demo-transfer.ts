import { z } from 'zod'
import { OverlayError } from '../src/errors.ts'
import { waitFor } from '../test/support/wait.ts'
import type { Placed } from './demo-reach.ts'
import type { Notes } from './demo-steps.ts'
import type { DockerHost } from './docker-host.ts'

const SECONDS = 3

const resultSchema = z.looseObject({
  end: z.looseObject({
    sum_received: z.looseObject({ bytes: z.number(), bits_per_second: z.number() }),
  }),
})

const stateSchema = z.looseObject({ counters: z.record(z.string(), z.number()) })

/** Moves data over TCP for some seconds and says how the forwarders on both sides carried it. */
export async function showTransfer(from: Placed, to: Placed, notes: Notes): Promise<void> {
  const [sender, receiver] = [from.container, to.container]
  const serve = ['exec', '-d', receiver.name, 'iperf3', '-s', '-1']
  const send = ['exec', sender.name, 'iperf3', '-c', to.ip, '-t', String(SECONDS), '-J']
  notes.command(receiver.host.name, `docker ${serve.join(' ')}`)
  await receiver.host.docker(...serve)
  await waitFor(async () => (await receiver.exec('netstat', '-ltn')).includes(':5201 '), {
    what: 'iperf3 to listen',
  })

  const before = [await countersOf(sender.host), await countersOf(receiver.host)]
  notes.command(sender.host.name, `docker ${send.join(' ')}`)
  const { end } = resultSchema.parse(JSON.parse(await sender.host.docker(...send)))
  const after = [await countersOf(sender.host), await countersOf(receiver.host)]
  const grown = (side: 0 | 1, name: string): number =>
    (after[side]?.[name] ?? 0) - (before[side]?.[name] ?? 0)

  const { bytes, bits_per_second: rate } = end.sum_received
  if (grown(0, 'tx_bytes') < bytes) {
    throw new OverlayError(
      'host_state',
      `iperf3 moved ${bytes} bytes, but the forwarder of ${sender.host.name} sent ${grown(0, 'tx_bytes')}`,
    )
  }
  const ratio = (side: 0 | 1, top: string, bottom: string): number =>
    grown(side, top) / Math.max(1, grown(side, bottom))
  notes.lines(
    `${(rate / 1e9).toFixed(2)} Gbit/s over one TCP connection, ${(bytes / 2 ** 20).toFixed(0)} MiB in ${SECONDS} s`,
    `forwarder of ${sender.host.name}: ${kib(ratio(0, 'tun_read_bytes', 'tun_reads'))} in a read of the TUN, ` +
      `${ratio(0, 'tx_segments', 'tx_sendmsg').toFixed(1)} VXLAN frames in a sendmsg`,
    `forwarder of ${receiver.host.name}: ${ratio(1, 'rx_frames', 'rx_recvmsg').toFixed(1)} VXLAN frames in a recvmsg, ` +
      `${kib(ratio(1, 'tun_write_bytes', 'tun_writes'))} in a write of the TUN`,
  )
}

async function countersOf(host: DockerHost): Promise<Record<string, number>> {
  return stateSchema.parse(JSON.parse(await host.admin('/v1/state'))).counters
}

const kib = (bytes: number): string => `${(bytes / 1024).toFixed(1)} KiB`
