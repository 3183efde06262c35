import { enterOwnNetns, sh } from '../../support/netns.ts'
enterOwnNetns()
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { applyHostState } from '../../../src/linux/apply.ts'
import { EMPTY_HOST_STATE } from '../../../src/linux/host-state.ts'
import type { HostWatch } from '../../../src/linux/follow-lines.ts'
import { watchHost } from '../../../src/linux/monitor.ts'
import { addVeth, removeLink } from '../../../src/linux/veth.ts'
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

test("a change of the host's own network is told once for all its messages", async () => {
  const before = told
  await sh('ip link add name eth8 type bridge; ip address add 192.0.2.1/24 dev eth8')
  await sh('ip link set eth8 up; ip route add 198.51.100.0/24 via 192.0.2.2')
  await waitFor(() => told > before, { what: 'the change to be told' })
  await quiet()
  assert(told - before <= 2, `told ${told - before} times`)
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
  await sh('ip route add blackhole fd00:99::/48')
  await quiet()
  const before = told
  await sh('ip route del blackhole fd00:99::/48')
  await applyHostState(DUAL_NETWORK)
  await quiet()
  assert.equal(told, before)
})

test('the coming and going of containers is not told', async () => {
  await applyHostState(ONE_NETWORK)
  await quiet()
  const before = told
  const mac = '02:42:0a:21:05:02'
  await addVeth({
    host: 'ov-h1',
    container: 'ov-c1',
    bridge: 'ov-b1',
    mtu: 1450,
    gsoMaxSize: 62_263,
    mac,
  })
  await sh('ip link set ov-c1 up')
  await removeLink('ov-h1')
  await sh('ip link add name vethabc type veth peer name vethdef; ip link del vethabc')
  await quiet()
  assert.equal(told, before)
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
