import { enterOwnNetns, Netns, sh } from '../../support/netns.ts'
enterOwnNetns()
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { applyHostState } from '../../../src/linux/apply.ts'
import { EMPTY_HOST_STATE, type HostState } from '../../../src/linux/host-state.ts'
import { readIsolationCounters } from '../../../src/linux/isolation.ts'
import { waitFor } from '../../support/wait.ts'
import { exampleBridge } from './example-host.ts'

//   a ── up0, the uplink       this host, a router       vm0 ── b       docker0 ── c
//   172.18.10.98/24            172.18.10.96              172.19.0.2     172.17.0.2
//   fd00:18::98                fd00:18::96               fd00:19::2     fd00:17::2
const PORT = 8472
const FAMILIES = [
  { udp: 'UDP4', here: '172.18.10.96', a: '172.18.10.98', b: '172.19.0.2' },
  { udp: 'UDP6', here: '[fd00:18::96]', a: '[fd00:18::98]', b: '[fd00:19::2]' },
] as const
const WANT: HostState = {
  ...EMPTY_HOST_STATE,
  bridges: [exampleBridge('1', '10.33.5.1/24')],
  tunnelEnds: {
    addresses: FAMILIES.flatMap(({ a, b }) => [a, b]).map((ip) => ip.replace(/[[\]]/g, '')),
    port: PORT,
    uplinks: ['up0'],
  },
}

const stack = new AsyncDisposableStack()
let a: Netns, b: Netns, c: Netns

before(async () => {
  await sh('sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1')
  // The guard must not lean on the kernel's own look at the way back.
  await sh('sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0')
  a = await plug(
    'up0',
    ['172.18.10.96/24', 'fd00:18::96/64'],
    ['172.18.10.98/24', 'fd00:18::98/64'],
  )
  b = await plug('vm0', ['172.19.0.1/24', 'fd00:19::1/64'], ['172.19.0.2/24', 'fd00:19::2/64'])
  c = await plug('docker0', ['172.17.0.1/16', 'fd00:17::1/64'], ['172.17.0.2/16', 'fd00:17::2/64'])
  for (const netns of [a, b, null]) await runIn(netns, `nft -f - <<'END'\n${COUNTS}\nEND`)
  await applyHostState(WANT)
})

after(async () => {
  await stack.disposeAsync()
  await applyHostState(EMPTY_HOST_STATE)
})

/** A machine behind a cable of this host, its router. */
async function plug(
  end: string,
  ours: readonly string[],
  theirs: readonly string[],
): Promise<Netns> {
  const netns = stack.use(await Netns.create(end))
  await sh(`ip link add ${end} up type veth peer name eth0 netns ${netns.name}`)
  for (const address of ours) await sh(`ip address add ${address} dev ${end} nodad`)
  for (const address of theirs)
    await netns.run('ip', 'address', 'add', address, 'dev', 'eth0', 'nodad')
  await netns.run('ip', 'link', 'set', 'eth0', 'up')
  for (const address of ours) {
    await netns.run('ip', 'route', 'add', 'default', 'via', address.replace(/\/.*/, ''))
  }
  return netns
}

/** Counts what comes in, behind our own table. */
const COUNTS = `table inet seen {
  counter tunnel {}
  counter other {}
  chain input {
    type filter hook input priority 10;
    udp dport ${PORT} counter name tunnel
    udp dport ${PORT + 1} counter name other
  }
}`

const runIn = (netns: Netns | null, line: string): Promise<string> =>
  netns === null ? sh(line) : netns.run('sh', '-c', line)

async function seen(at: Netns | null, counter: 'tunnel' | 'other'): Promise<number> {
  return Number(/packets (\d+)/.exec(await runIn(at, `nft list counter inet seen ${counter}`))![1])
}

interface Letter {
  readonly udp: 'UDP4' | 'UDP6'
  readonly from: Netns
  /** Its source, which the sender must have. */
  readonly as: string
  readonly to: string
  /** Where `to` is; null on this host itself. */
  readonly at: Netns | null
}

/** Whether a datagram to the tunnel's port arrives; one behind it, to another port, says when that is decided. */
async function arrives({ udp, from, as, to, at }: Letter): Promise<boolean> {
  const [tunnel, other] = [await seen(at, 'tunnel'), await seen(at, 'other')]
  for (const port of [PORT, PORT + 1]) {
    await from.run('sh', '-c', `echo letter | socat -u - ${udp}-SENDTO:${to}:${port},bind=${as}`)
  }
  await waitFor(async () => (await seen(at, 'other')) > other, {
    what: `the datagram behind it from ${as} at ${to}`,
  })
  return (await seen(at, 'tunnel')) > tunnel
}

const drops = async (): Promise<number> => (await readIsolationCounters())!.to_tunnels.packets

for (const { udp, here, a: ofA, b: ofB } of FAMILIES) {
  test(`hosts on two sides of this one have their tunnel, over ${udp}`, async () => {
    const before = await drops()
    assert(await arrives({ udp, from: a, as: ofA, to: ofB, at: b }))
    assert(await arrives({ udp, from: b, as: ofB, to: ofA, at: a }))
    assert(await arrives({ udp, from: a, as: ofA, to: here, at: null }))
    assert(await arrives({ udp, from: b, as: ofB, to: here, at: null }))
    assert.equal(await drops(), before)
  })

  test(`a container sends into no tunnel, whatever address it puts on itself, over ${udp}`, async () => {
    const own = udp === 'UDP4' ? '172.17.0.2' : '[fd00:17::2]'
    // A router takes nothing from outside that has an address of its own, so the container has those of others.
    for (const [as, to, at] of [
      [own, ofA, a],
      [own, ofB, b],
      [ofB, ofA, a],
      [ofA, ofB, b],
      [ofA, here, null],
      [ofB, here, null],
    ] as const) {
      const address = `${as.replace(/[[\]]/g, '')}/${udp === 'UDP4' ? 32 : 128}`
      const isOwn = as === own
      if (!isOwn) await c.run('ip', 'address', 'add', address, 'dev', 'lo', 'nodad')
      const before = await drops()
      assert.equal(await arrives({ udp, from: c, as, to, at }), false, `as ${as} to ${to}`)
      assert.equal(await drops(), before + 1)
      if (!isOwn) await c.run('ip', 'address', 'del', address, 'dev', 'lo')
    }
  })
}
