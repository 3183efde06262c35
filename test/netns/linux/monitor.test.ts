import { enterOwnNetns, sh } from '../../support/netns.ts'
enterOwnNetns()
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { applyHostState } from '../../../src/linux/apply.ts'
import { EMPTY_HOST_STATE } from '../../../src/linux/host-state.ts'
import type { HostWatch } from '../../../src/linux/follow-lines.ts'
import { newsFilter, watchHost } from '../../../src/linux/monitor.ts'
import { addVeth, removeLink } from '../../../src/linux/veth.ts'
import { endProgram } from '../../support/end-program.ts'
import { waitFor } from '../../support/wait.ts'
import { DUAL_NETWORK, ONE_NETWORK } from './example-host.ts'

let told = 0
let watch: HostWatch

/** Process ids of this program's children that watch. */
async function monitors(): Promise<string[]> {
  const text = await sh(`cat /proc/${process.pid}/task/*/children`)
  const found: string[] = []
  for (const pid of text.split(' ').filter(Boolean)) {
    const command = await sh(`tr '\\0' ' ' < /proc/${pid}/cmdline 2>/dev/null || true`)
    if (command.startsWith('ip -o monitor')) found.push(pid)
  }
  return found
}

const monitor = (): Promise<string> =>
  waitFor(async () => (await monitors())[0], { what: 'ip monitor to run' })

before(async () => {
  await applyHostState(ONE_NETWORK)
  watch = watchHost(() => told++)
  await monitor()
  // The program subscribes some time after it starts: only a change that is told proves it.
  await waitFor(
    async () => {
      await sh('ip link add name eth9 type bridge; ip link del eth9')
      return told > 0
    },
    { what: 'the first change to be told', every: 300 },
  )
  await quiet()
})

after(async () => {
  watch.stop()
  await applyHostState(EMPTY_HOST_STATE)
})

/** Until nothing that is under way can still be told. */
async function quiet(): Promise<void> {
  let last = -1
  while (last !== told) {
    last = told
    await sleep(500)
  }
}

async function tells(line: string): Promise<void> {
  await quiet()
  const before = told
  await sh(line)
  await waitFor(() => told > before, { what: `"${line}" to be told` })
}

/**
 * What of the messages of all that is done meanwhile is news. They come in their order, so that those of
 * links that are made before and after it say where it begins and ends.
 */
async function newsDuring(work: () => Promise<unknown>): Promise<string[]> {
  const isNews = newsFilter()
  let lines: string[] = []
  const monitor = spawn('ip', ['-o', 'monitor', 'label', 'link', 'address', 'route'])
  createInterface({ input: monitor.stdout }).on('line', (line) => lines.push(line))
  const mark = async (name: string): Promise<void> => {
    await sh(`ip link add name ${name} type bridge; ip link del ${name}`)
  }
  const place = (name: string): number =>
    lines.findLastIndex((line) => line.includes(`Deleted`) && line.includes(` ${name}: `))
  try {
    // It subscribes some time after it starts: until then the mark goes by unseen.
    await waitFor(() => mark('begins').then(() => place('begins') >= 0), { what: 'its first line' })
    await mark('is-on')
    await waitFor(() => place('is-on') >= 0, { what: 'the lines from before' })
    lines = lines.slice(place('is-on') + 1)
    await work()
    await quiet()
    await mark('is-over')
    await waitFor(() => place('is-over') >= 0, { what: 'all lines of it' })
    return lines.filter((line) => !line.includes(' is-over: ') && isNews(line))
  } finally {
    await endProgram(monitor)
  }
}

test("a change of the host's own network is told once for many of its messages", async () => {
  const before = told
  const addresses = Array.from({ length: 40 }, (_, n) => `address add 192.0.2.${n + 1}/24 dev eth8`)
  const change = ['link add name eth8 type bridge', ...addresses, 'link set eth8 up']
  // By one program, so that the machine has no say in how soon they follow each other.
  await sh(`ip -batch - <<'END'\n${change.join('\n')}\nEND`)
  await sh('ip route add 198.51.100.0/24 via 192.0.2.99')
  await waitFor(() => told > before, { what: 'the change to be told' })
  await quiet()
  assert(told - before <= 10, `told ${told - before} times`)
  await tells('ip route del 198.51.100.0/24')
  await tells('ip link del eth8')
})

test('what is lost of ours is told', async () => {
  await tells('ip route del 10.33.0.0/17 dev ov-tun')
  await tells('ip address del 10.33.5.1/24 dev ov-b1')
  await tells('ip link set ov-b1 down')
  await tells('ip link del ov-b1')
})

test('what is lost of IPv6 is told, and what others do with it is not', async () => {
  await applyHostState(DUAL_NETWORK)
  await tells('ip route del fd00:33::/48 dev ov-tun')
  await tells('ip route del blackhole fd00:33::/48 metric 4294967293')
  await tells('ip route del fd00:33:0:5::/64 dev ov-b1')
  await tells('ip address del fd00:33:0:5::1/64 dev ov-b1')
  await tells('ip address del fd00:33:0:5::/128 dev ov-tun')
  await applyHostState(DUAL_NETWORK)
  const news = await newsDuring(async () => {
    await sh('ip route add blackhole fd00:99::/48; ip route del blackhole fd00:99::/48')
    await applyHostState(DUAL_NETWORK)
  })
  assert.deepEqual(news, [])
})

test('the coming and going of containers is not told', async () => {
  await applyHostState(ONE_NETWORK)
  const news = await newsDuring(async () => {
    const pair = { host: 'ov-h1', container: 'ov-c1', bridge: 'ov-b1', mtu: 1450 }
    await addVeth({ ...pair, gsoMaxSize: 62_263, mac: '02:42:0a:21:05:02' })
    await sh('ip link set ov-c1 up')
    await removeLink('ov-h1')
    await sh('ip link add name vethabc type veth peer name vethdef; ip link del vethabc')
  })
  assert.deepEqual(news, [])
})

test('a watch whose program was killed starts it again and tells', async () => {
  await quiet()
  const before = told
  const pid = await monitor()
  process.kill(Number(pid), 'SIGKILL')
  await waitFor(() => told > before, { what: 'the restart to be told' })
  assert.notEqual(await monitor(), pid)
  await quiet()
  await waitFor(
    async () => {
      const earlier = told
      await sh('ip link add name eth9 type bridge; ip link del eth9')
      await quiet()
      return told > earlier
    },
    { what: 'a change after the restart to be told' },
  )
})

test('a stopped watch leaves no program behind', async () => {
  watch.stop()
  await waitFor(async () => (await monitors()).length === 0, { what: 'ip monitor to end' })
})
