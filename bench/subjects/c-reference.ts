import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { argv } from '../../lab/argv.ts'
import { command } from '../../lab/command.ts'
import { Daemon } from '../../lab/daemon.ts'
import { TUN_QUEUE_LENGTH } from '../../src/control/desired-host-state.ts'
import { gsoMaxSize } from '../../src/datapath/limits.ts'
import { bridgedNamespaces, script, type BridgedSide } from './bridged-namespaces.ts'
import { pidsOn, stop } from './debian.ts'
import type { Candidate } from './subject.ts'

const SOURCE = join(import.meta.dirname, '..', 'reference.c')
const DEVICE = 'cr-tunnel'
const VNI = 79
const PORT = 8475
const MTU = 1450

/** bench/reference.c: the design's ceiling. The links around it are as overlay-ts makes its own. */
export const cReference: Candidate = {
  name: 'C reference',
  kind: 'reference',
  about:
    'the same design in one C file, cc -O2, checksums with AVX2 where the processor has it, MTU 1450',
  version: async () => (await command(['cc', '--version'])).split('\n')[0]!,
  async place(site) {
    const { sides, remove } = await bridgedNamespaces(site, {
      short: 'cr',
      digit: 8,
      net: '10.208',
      mtu: MTU,
      gsoMaxSize: gsoMaxSize(MTU),
    })
    await using undo = new AsyncDisposableStack()
    undo.defer(remove)
    const program = site.hosts[0].machine.path('reference')
    undo.defer(() => rmSync(program, { force: true }))
    await command(argv`cc -O2 -o ${program} ${SOURCE}`)
    const daemons: Daemon[] = []
    for (const side of sides) {
      undo.defer(async () => {
        await side.host.exec('ip', 'link', 'delete', DEVICE)
      })
      const daemon = await start(program, side)
      undo.defer(() => stop(daemon))
      daemons.push(daemon)
    }
    const done = undo.move()
    return {
      client: sides[0].place,
      server: sides[1].place,
      processes: (host) => pidsOn(host, daemons),
      remove: () => done.disposeAsync(),
    }
  },
}

async function start(program: string, { host, other, own, far }: BridgedSide): Promise<Daemon> {
  await host.machine.exec(
    script(`
      ip tuntap add dev ${DEVICE} mode tun multi_queue vnet_hdr
      ip link set ${DEVICE} mtu ${MTU} txqueuelen ${TUN_QUEUE_LENGTH} up
      ip route add ${far}.0/24 dev ${DEVICE}`),
  )
  const daemon = new Daemon(host.machine, 'reference')
  await daemon.start({
    argv: argv`${program} ${DEVICE} ${host.ip} ${other.ip} ${own}.0 ${far}.0 ${VNI} ${PORT}`,
    ready: async () => daemon.log().includes('ready'),
  })
  return daemon
}
