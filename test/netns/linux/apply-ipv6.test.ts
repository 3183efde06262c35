import { enterOwnNetns, sh } from '../../support/netns.ts'
enterOwnNetns()
import assert from 'node:assert/strict'
import { after, before, beforeEach, test } from 'node:test'
import { applyHostState } from '../../../src/linux/apply.ts'
import { EMPTY_HOST_STATE, type HostState } from '../../../src/linux/host-state.ts'
import { programStarts } from '../../../src/linux/run.ts'
import { waitFor } from '../../support/wait.ts'
import { DUAL_NETWORK, exampleBridge, exampleRoutes, ONE_NETWORK } from './example-host.ts'
import { hostText as wholeText } from './host-text.ts'

const FORWARD_SHUT = `
  ip6tables -P FORWARD DROP; ip6tables -N DOCKER-USER; ip6tables -A DOCKER-USER -s fd00:1::1 -j DROP
  ip6tables -A DOCKER-USER -j RETURN; ip6tables -A FORWARD -j DOCKER-USER`

before(async () => {
  const rule = '-i ov-b9 -o ov-tun -m comment --comment overlay-ts -j ACCEPT'
  await sh(`ip6tables -N DOCKER-USER; ip6tables -A DOCKER-USER ${rule}`)
})
beforeEach(async () => {
  await applyHostState(EMPTY_HOST_STATE)
})
after(async () => {
  await applyHostState(EMPTY_HOST_STATE)
})

const apply = async (want: HostState): Promise<string[]> =>
  (await applyHostState(want)).map(({ command }) => command)

/**
 * Of which all is settled: the kernel makes a new address of IPv6 one of the host's own a moment after it
 * was added. The route of multicast is left out, which a link gets with its first address or its carrier.
 */
async function hostText(): Promise<string> {
  const own = await sh('ip -6 -o address show scope global')
  const addresses = [...own.matchAll(/ inet6 ([\da-f:]+)\//g)].map(([, address]) => address)
  await waitFor(
    async () => {
      const local = await sh('ip -6 route show table local type local')
      return addresses.every((address) => local.includes(`${address} dev `))
    },
    { what: 'new addresses to be the own ones of the host' },
  )
  return (await wholeText()).replace(/^multicast ff00::\/8 dev (ov-|eth7).*\n/gm, '')
}

async function assertText(expected: string): Promise<void> {
  assert.equal(await hostText(), expected)
}

/** Damages the applied state, and expects one apply to bring back the text from before. */
async function repairs(damage: string, expected: readonly RegExp[]): Promise<void> {
  await applyHostState(DUAL_NETWORK)
  const before = await hostText()
  await sh(damage)
  assert.notEqual(await hostText(), before, damage)
  const steps = await apply(DUAL_NETWORK)
  assert.equal(steps.length, expected.length, steps.join('\n'))
  for (const [index, form] of expected.entries()) assert.match(steps[index] ?? '', form)
  await assertText(before)
  assert.deepEqual(await apply(DUAL_NETWORK), [])
}

test('rules that an earlier run left in ip6tables are found by the first look', async () => {
  assert.equal(await sh('ip6tables -S DOCKER-USER'), '-N DOCKER-USER\n')
  await sh('ip6tables -X DOCKER-USER')
})

test('what was applied needs no further step', async () => {
  const first = await apply(DUAL_NETWORK)
  assert(first.length > 15)
  assert.deepEqual(await apply(DUAL_NETWORK), [])
  const routes = await sh('ip -6 route show table main')
  assert.match(routes, /^fd00:33::\/48 dev ov-tun proto 79 src fd00:33:0:5:: metric 1024/m)
  assert.match(routes, /^blackhole fd00:33::\/48 dev lo proto 79 metric 4294967293/m)
  assert.match(routes, /^fd00:33:0:5::\/64 dev ov-b1 proto kernel metric 256/m)
  assert.match(await sh('ip -6 address show dev ov-b1'), /fd00:33:0:5::1\/64 scope global nodad/)
  assert.equal(await sh('cat /proc/sys/net/ipv6/conf/all/forwarding'), '1\n')
})

test('the empty state leaves the text of the host as it was before', async () => {
  await sh(FORWARD_SHUT)
  // Without an address of IPv6 to itself, which the kernel would ask about for a second or two.
  await sh('ip link add name eth7 type bridge; ip link set eth7 addrgenmode none up')
  await sh('ip address add 2001:db8::1/64 dev eth7 nodad; ip route add fd00:9::/48 via 2001:db8::2')
  const before = await hostText()
  await applyHostState(DUAL_NETWORK)
  assert.match(await sh('ip6tables -S DOCKER-USER'), /-i ov-tun -o ov-b1 .* -j ACCEPT/)
  await applyHostState(EMPTY_HOST_STATE)
  await assertText(before)
  assert.deepEqual(await apply(EMPTY_HOST_STATE), [])
  await sh('ip link del eth7; nft delete table ip6 filter')
})

test('a network without IPv6 beside it takes only its own with it', async () => {
  await applyHostState(ONE_NETWORK)
  const before = await hostText()
  await applyHostState(DUAL_NETWORK)
  await applyHostState(ONE_NETWORK)
  await assertText(before)
  assert.deepEqual(await apply(ONE_NETWORK), [])
})

test('a deleted address comes back, and the source address that routes lost with it', async () => {
  await repairs('ip address del fd00:33:0:5::1/64 dev ov-b1', [
    /^ip address add fd00:33:0:5::1\/64 dev ov-b1 nodad$/,
  ])
  await repairs('ip address del fd00:33:0:5::/128 dev ov-tun', [
    /^ip address add fd00:33:0:5::\/128 dev ov-tun nodad$/,
    /^ip route replace fd00:33::\/48 dev ov-tun proto 79 src fd00:33:0:5:: metric 1024$/,
  ])
})

test('a deleted route comes back, be it ours or the on-link one of the kernel', async () => {
  await repairs('ip route del fd00:33::/48 dev ov-tun', [/^ip route add fd00:33::\/48 dev ov-tun /])
  await repairs('ip route del blackhole fd00:33::/48 metric 4294967293', [
    /^ip route add blackhole fd00:33::\/48 /,
  ])
  await repairs('ip route del fd00:33:0:5::/64 dev ov-b1', [
    /^ip route add fd00:33:0:5::\/64 dev ov-b1 proto kernel metric 256$/,
  ])
})

test('what a link loses when it is set down, or IPv6 is switched off on it, comes back', async () => {
  await repairs('ip link set ov-b1 down', [/^ip address add fd00/, /^ip link set dev ov-b1 up$/])
  await repairs('sysctl -qw net.ipv6.conf.ov-b1.disable_ipv6=1', [
    /disable_ipv6=0$/,
    /^ip address add fd00/,
  ])
  await repairs('ip link set ov-tun down', [
    /^ip address add fd00/,
    /^ip link set dev ov-tun up$/,
    /^ip route add 10/,
    /^ip route add fd00/,
  ])
})

test('a foreign address, a wrong setting and a changed route are put right', async () => {
  await repairs('ip address add fd00:33:0:5::9/64 dev ov-b1 nodad', [
    /^ip address del fd00:33:0:5::9\/64 dev ov-b1$/,
  ])
  await repairs('ip route replace fd00:33::/48 dev ov-tun proto 79 metric 1024 mtu 1300', [
    /^ip route replace fd00:33::\/48 dev ov-tun proto 79 src fd00:33:0:5:: metric 1024$/,
  ])
  await applyHostState(DUAL_NETWORK)
  await sh('sysctl -qw net.ipv6.conf.ov-b1.accept_ra=1 net.ipv6.conf.all.forwarding=0')
  const steps = await apply(DUAL_NETWORK)
  assert.deepEqual(steps.toSorted(), [
    'sysctl -w net/ipv6/conf/all/forwarding=1',
    'sysctl -w net/ipv6/conf/ov-b1/accept_ra=0',
  ])
})

test('a deleted bridge and TUN come back with all of it', async () => {
  await applyHostState(DUAL_NETWORK)
  const before = await hostText()
  for (const link of ['ov-b1', 'ov-tun']) {
    await sh(`ip link del ${link}`)
    await applyHostState(DUAL_NETWORK)
    await assertText(before)
    assert.deepEqual(await apply(DUAL_NETWORK), [])
  }
})

test('a flushed and an emptied table of IPv6 are loaded again', async () => {
  await repairs('nft flush set inet overlay-ts allowed6', [/^nft -f -/])
  await repairs('nft flush table inet overlay-ts', [/^nft -f -/])
})

test('a table of an earlier version, which dropped IPv6 of itself, is replaced whole', async () => {
  await applyHostState(ONE_NETWORK)
  const before = await hostText()
  const older = (await sh('nft list table inet overlay-ts'))
    .replace(/"overlay-ts \d+ /, '"overlay-ts 2 ')
    .replace('chain forward {', 'counter ipv6 {}\nchain forward {')
  await sh(`nft -f - <<'END'\ndelete table inet overlay-ts\n${older}END`)
  assert.match(await sh('nft list table inet overlay-ts'), /counter ipv6/)
  const steps = await apply(ONE_NETWORK)
  assert(steps.length === 1 && steps[0]?.startsWith('nft'), steps.join())
  await assertText(before)
})

for (const backend of ['nft', 'legacy']) {
  test(`rules in ip6tables-${backend} come back, in DOCKER-USER and where that is gone`, async () => {
    const ip6tables = `ip6tables-${backend}`
    await sh(FORWARD_SHUT.replaceAll('ip6tables', ip6tables))
    await applyHostState(DUAL_NETWORK)
    const before = await hostText()
    const accepted = async (chain: string): Promise<string[]> =>
      (await sh(`${ip6tables} -S ${chain}`))
        .split('\n')
        .filter((rule) => rule.includes('overlay-ts'))
    const expected = ['-i ov-b1 -o ov-b1', '-i ov-b1 -o ov-tun', '-i ov-tun -o ov-b1'].map(
      (pair) => {
        return `${pair} -m comment --comment overlay-ts -j ACCEPT`
      },
    )
    const rulesIn = (chain: string): string[] => expected.map((rule) => `-A ${chain} ${rule}`)
    assert.deepEqual(await accepted('DOCKER-USER'), rulesIn('DOCKER-USER'))
    await sh(`${ip6tables} -F DOCKER-USER; ${ip6tables} -A DOCKER-USER -s fd00:1::1 -j DROP`)
    await sh(`${ip6tables} -A DOCKER-USER -j RETURN`)
    const steps = await apply(DUAL_NETWORK)
    assert(steps.length === 3 && steps.every((step) => step.startsWith('ip6tables')), steps.join())
    await assertText(before)
    await sh(`${ip6tables} -F FORWARD`)
    await applyHostState(DUAL_NETWORK)
    assert.deepEqual(await accepted('FORWARD'), rulesIn('FORWARD'))
    assert.deepEqual(await apply(DUAL_NETWORK), [])
    await applyHostState(EMPTY_HOST_STATE)
    assert.deepEqual([...(await accepted('FORWARD')), ...(await accepted('DOCKER-USER'))], [])
    await sh(`${ip6tables} -F; ${ip6tables} -X; ${ip6tables} -P FORWARD ACCEPT`)
  })
}

test('ip6tables is left alone where no IPv6 is wanted, once none of our rules is there', async () => {
  await sh(FORWARD_SHUT)
  await applyHostState(DUAL_NETWORK)
  await applyHostState(ONE_NETWORK)
  assert.doesNotMatch(await sh('ip6tables -S'), /overlay-ts/)
  const started: string[] = []
  const note = (command: unknown): unknown => started.push(String(command))
  programStarts.subscribe(note)
  await applyHostState(ONE_NETWORK)
  programStarts.unsubscribe(note)
  assert(started.length > 0 && !started.some((line) => line.startsWith('ip6tables')))
  await sh('ip6tables -F; ip6tables -X; ip6tables -P FORWARD ACCEPT')
})

test('flows that overlap in every way are one set to the kernel', async () => {
  const prefixes = [
    'fd00:33:0:5::/64',
    'fd00:33::/48',
    'fd00:33:0:5::/126',
    'fd00:33:0:5::2/128',
    '::/0',
  ]
  const allowed = prefixes.flatMap((fromPrefix) => {
    return prefixes.toReversed().map((toPrefix) => {
      return { fromLink: 'ov-b1', toLink: 'ov-tun', fromPrefix, toPrefix }
    })
  })
  for (const flows of [allowed, allowed.slice(3, -5), allowed.slice(7)]) {
    const want = { ...DUAL_NETWORK, allowed: [...ONE_NETWORK.allowed, ...flows] }
    await applyHostState(want)
    assert.deepEqual(await apply(want), [])
  }
})

test('1,000 hosts in 20 networks of both families take no more programs than one network', async () => {
  const bridges = Array.from({ length: 20 }, (_, n) =>
    exampleBridge(`${n + 10}`, `10.40.${n}.1/24`, true, `fd00:40:0:${n + 1}::1/64`),
  )
  const want: HostState = {
    ...DUAL_NETWORK,
    bridges,
    tun: {
      ...DUAL_NETWORK.tun!,
      addresses: bridges.flatMap((_, n) => [`10.40.${n}.0/32`, `fd00:40:0:${n + 1}::/128`]),
    },
    routes: Array.from({ length: 1000 }, (_, n) => n).flatMap((n) => [
      ...exampleRoutes(`10.5${n >> 8}.${n & 255}.0/24`, '10.40.0.0'),
      ...exampleRoutes(`fd00:50:0:${(n + 1).toString(16)}::/64`, 'fd00:40:0:1::'),
    ]),
    allowed: bridges.flatMap(({ name }, n) => {
      return Array.from({ length: 50 }, (_, m) => {
        return {
          fromLink: name,
          toLink: 'ov-tun',
          fromPrefix: `fd00:40:0:${n + 1}::/64`,
          toPrefix: `fd00:50:0:${m + 1}::/64`,
        }
      })
    }),
  }
  const started: unknown[] = []
  const count = (command: unknown): unknown => started.push(command)
  programStarts.subscribe(count)
  await applyHostState(want)
  const forFirst = started.splice(0).length
  assert.deepEqual(await apply(want), [])
  programStarts.unsubscribe(count)
  assert.equal(await sh('ip -6 route show proto 79 | wc -l').then(Number), 2000)
  assert(forFirst <= 10, `${forFirst} programs to apply`)
  assert(started.length <= 6, `${started.length} programs to see that nothing is missing`)
})
