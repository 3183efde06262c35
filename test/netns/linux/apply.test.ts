import { enterOwnNetns, sh } from '../../support/netns.ts'
enterOwnNetns()
import assert from 'node:assert/strict'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, beforeEach, test } from 'node:test'
import { OverlayError } from '../../../src/errors.ts'
import { applyHostState } from '../../../src/linux/apply.ts'
import { OWN_PATHS } from '../../../src/linux/host-paths.ts'
import { EMPTY_HOST_STATE, type HostState } from '../../../src/linux/host-state.ts'
import { programStarts } from '../../../src/linux/run.ts'
import { addVeth } from '../../../src/linux/veth.ts'
import { exampleBridge, exampleRoutes, ONE_NETWORK } from './example-host.ts'
import { hostText } from './host-text.ts'

beforeEach(async () => {
  await applyHostState(EMPTY_HOST_STATE)
})
after(async () => {
  await applyHostState(EMPTY_HOST_STATE)
})

const apply = async (want: HostState): Promise<string[]> =>
  (await applyHostState(want)).map(({ command }) => command)

/** Damages the applied state, and expects one apply to bring back the text from before. */
async function repairs(
  want: HostState,
  damage: string,
  expected: readonly RegExp[],
): Promise<void> {
  await applyHostState(want)
  const before = await hostText()
  await sh(damage)
  const steps = await apply(want)
  assert.equal(steps.length, expected.length, steps.join('\n'))
  for (const [index, form] of expected.entries()) assert.match(steps[index] ?? '', form)
  assert.equal(await hostText(), before)
  assert.deepEqual(await apply(want), [])
}

test('what was applied needs no further step', async () => {
  const first = await apply(ONE_NETWORK)
  assert(first.length > 10)
  assert.deepEqual(await apply(ONE_NETWORK), [])
  const routes = await sh('ip route show table main')
  assert.match(routes, /^10\.33\.0\.0\/17 dev ov-tun proto 79 src 10\.33\.5\.0/m)
  assert.match(routes, /^blackhole 10\.33\.0\.0\/17 proto 79 metric 4294967293/m)
  const tun = await sh('ip -details link show dev ov-tun')
  assert.match(tun, /mtu 1450 .* qlen 4000/)
  assert.match(tun, /tun type tun pi off vnet_hdr on multi_queue .* persist on/)
})

test('the empty state leaves the text of the host as it was before', async () => {
  await sh('iptables -N DOCKER-USER; iptables -A DOCKER-USER -s 10.1.1.1 -j DROP')
  await sh('iptables -A DOCKER-USER -j RETURN; iptables -A FORWARD -j DOCKER-USER')
  // Without IPv6, whose addresses and routes the kernel would go on settling for a second or two.
  await sh('ip link add name eth7 type bridge; sysctl -qw net.ipv6.conf.eth7.disable_ipv6=1')
  await sh('ip link set eth7 up')
  await sh('ip address add 192.0.2.1/24 dev eth7')
  await sh('ip route add 198.51.100.0/24 via 192.0.2.2; nft add table inet other')
  const before = await hostText()
  await applyHostState(ONE_NETWORK)
  await addVeth({
    host: 'ov-hleft',
    container: 'ov-cleft',
    bridge: 'ov-b1',
    gsoMaxSize: 62_263,
    mtu: 1450,
    mac: '02:42:0a:21:05:02',
  })
  assert.notEqual(await hostText(), before)
  await applyHostState(EMPTY_HOST_STATE)
  assert.equal(await hostText(), before)
  assert.deepEqual(await apply(EMPTY_HOST_STATE), [])
  await sh('ip link del eth7; nft delete table inet other; nft delete table ip filter')
})

test('a deleted route of a bridge comes back', () =>
  repairs(ONE_NETWORK, 'ip route del 10.33.5.0/24 dev ov-b1', [
    /^ip route add 10\.33\.5\.0\/24 dev ov-b1 proto kernel scope link src 10\.33\.5\.1$/,
  ]))

test('a deleted bridge comes back with its MAC and address', () =>
  repairs(
    ONE_NETWORK,
    'ip link del ov-b1',
    [
      /^ip link add name ov-b1 address 02:00:00:00:00:01/,
      /conf\/ov-b1\/forwarding=1$/,
      /conf\/ov-b1\/send_redirects=0$/,
      /accept_ra=0$/,
      /disable_ipv6=1$/,
      /proxy_arp=1$/,
      /neigh\/ov-b1\/proxy_delay=0$/,
      /^ip address add 10\.33\.5\.1\/24 dev ov-b1$/,
      /^ip link set dev ov-b1 mtu 1450 up$/,
    ].filter((form) => form.source.length > 0),
  ))

test('a deleted TUN comes back with its routes', async () => {
  await applyHostState(ONE_NETWORK)
  const before = await hostText()
  await sh('ip link del ov-tun')
  assert.match(await sh('ip route get 10.33.9.9 2>&1 || true'), /Invalid argument/)
  await applyHostState(ONE_NETWORK)
  assert.equal(await hostText(), before)
})

test('a flushed, an emptied and a deleted table are loaded again', async () => {
  const damages = [
    'nft flush table inet overlay-ts',
    'nft flush set inet overlay-ts allowed',
    'nft flush ruleset',
    'nft insert rule inet overlay-ts forward accept',
    `nft 'flush table inet overlay-ts; add element inet overlay-ts same_bridge { "a" . "ov-b1" }'`,
  ]
  for (const damage of damages) await repairs(ONE_NETWORK, damage, [/^nft -f -/])
})

test('a wrong MAC, MTU, address, setting and a link set down are put right', async () => {
  await repairs(ONE_NETWORK, 'ip link set ov-b1 address 02:00:00:00:00:99', [
    /^ip link set dev ov-b1 address 02:00:00:00:00:01$/,
  ])
  await repairs(ONE_NETWORK, 'ip link set ov-tun mtu 1400', [/^ip link set dev ov-tun mtu 1450$/])
  await repairs(ONE_NETWORK, 'ip address add 10.33.5.9/24 dev ov-b1', [
    /^ip address del 10\.33\.5\.9\/24 dev ov-b1$/,
  ])
  await repairs(ONE_NETWORK, 'sysctl -qw net.ipv4.conf.ov-b1.proxy_arp=0', [/proxy_arp=1$/])
  await repairs(ONE_NETWORK, 'ip link set ov-b1 down', [/^ip link set dev ov-b1 up$/])
})

test('a changed gateway address is in force after one apply', async () => {
  await applyHostState(ONE_NETWORK)
  const moved = { ...ONE_NETWORK, bridges: [exampleBridge('1', '10.33.5.254/24')] }
  await applyHostState(moved)
  assert.match(await sh('ip -4 -br address show dev ov-b1'), /UP|DOWN\s+10\.33\.5\.254\/24\s*$/)
  assert.deepEqual(await apply(moved), [])
})

test('a port that left its bridge is put back, one that nobody claims goes', async () => {
  const port = { name: 'ov-h1', bridge: 'ov-b1', mtu: 1450, hairpin: false }
  const want = { ...ONE_NETWORK, ports: [port] }
  await applyHostState(want)
  const mac = '02:42:0a:21:05:02'
  await addVeth({
    host: 'ov-h1',
    container: 'ov-c1',
    bridge: 'ov-b1',
    mtu: 1450,
    gsoMaxSize: 62_263,
    mac,
  })
  assert.deepEqual(await apply(want), [])
  await repairs(want, 'ip link set ov-h1 nomaster', [/^ip link set dev ov-h1 master ov-b1$/])
  const mirrored = { ...ONE_NETWORK, ports: [{ ...port, hairpin: true }] }
  const hairpin = 'ip link set dev ov-h1 type bridge_slave hairpin'
  assert.deepEqual(await apply(mirrored), [`${hairpin} on`])
  await repairs(mirrored, 'ip link set ov-h1 nomaster', [/master ov-b1$/, /hairpin on$/])
  assert.deepEqual(await apply(want), [`${hairpin} off`])
  assert.deepEqual(await apply(ONE_NETWORK), ['ip link del ov-h1'])
})

test('a refused command is named, the others are done and the next apply finds only it', async () => {
  await sh('ip link add name eth7 type bridge; ip link set eth7 up')
  await sh('ip route add 10.55.0.0/16 dev eth7')
  const clash = {
    ...ONE_NETWORK,
    routes: [...exampleRoutes('10.55.0.0/16', '10.33.5.0'), ...ONE_NETWORK.routes],
  }
  await assert.rejects(applyHostState(clash), (error) => {
    assert(error instanceof OverlayError)
    assert.equal(error.code, 'host_state')
    assert.match(error.message, /^ip route add 10\.55\.0\.0\/16 dev ov-tun .*: .*File exists/)
    return true
  })
  assert.match(await sh('ip route'), /^10\.33\.0\.0\/17 dev ov-tun/m)
  assert.match(await sh('ip route'), /^10\.55\.0\.0\/16 dev eth7/m)
  await sh('ip link del eth7')
  assert.deepEqual(await apply(clash), [
    'ip route add 10.55.0.0/16 dev ov-tun proto 79 scope global src 10.33.5.0',
  ])
})

test('limits of the neighbour table are raised and never lowered', async (t) => {
  const procSys = await mkdtemp(join(tmpdir(), 'ovt-sys-'))
  t.after(() => rm(procSys, { recursive: true }))
  const folder = join(procSys, 'net/ipv4/neigh/default')
  await mkdir(folder, { recursive: true })
  await writeFile(join(folder, 'gc_thresh1'), '128\n')
  await writeFile(join(folder, 'gc_thresh2'), '49152\n')
  await writeFile(join(folder, 'gc_thresh3'), '200000\n')
  const skipped: string[] = []
  const paths = { ...OWN_PATHS, procSys }
  await applyHostState(ONE_NETWORK, { paths, onSkipped: (sentence) => skipped.push(sentence) })
  const limits = await Promise.all(
    [1, 2, 3].map((n) => readFile(join(folder, `gc_thresh${n}`), 'utf8').then(Number.parseFloat)),
  )
  assert.deepEqual(limits, [8192, 49152, 200000])
  assert(skipped.some((sentence) => sentence.includes('net/ipv4/ip_forward does not exist')))
})

test('flows that overlap in every way are one set to the kernel', async () => {
  const prefixes = ['10.33.5.0/24', '10.33.0.0/17', '10.33.5.0/30', '10.33.5.2/32', '0.0.0.0/0']
  const allowed = prefixes.flatMap((fromPrefix) => {
    return prefixes.toReversed().map((toPrefix) => {
      return { fromLink: 'ov-b1', toLink: 'ov-tun', fromPrefix, toPrefix }
    })
  })
  const crossing = allowed.filter((flow) => flow.fromPrefix !== flow.toPrefix).slice(0, -5)
  for (const flows of [allowed, crossing, crossing.slice(3), crossing.slice(7)]) {
    await applyHostState({ ...ONE_NETWORK, allowed: flows })
    assert.deepEqual(await apply({ ...ONE_NETWORK, allowed: flows }), [])
  }
})

test('a state is asked for after the host was looked at', async () => {
  await applyHostState(ONE_NETWORK)
  const order: string[] = []
  const note = (command: unknown): unknown => order.push(String(command))
  programStarts.subscribe(note)
  await applyHostState(() => {
    order.push('asked')
    return ONE_NETWORK
  })
  programStarts.unsubscribe(note)
  assert.equal(order.at(-1), 'asked')
})

test('1,000 routes and 50 bridges take no more programs than one network', async () => {
  const bridges = Array.from({ length: 50 }, (_, n) =>
    exampleBridge(`${n + 10}`, `10.40.${n}.1/24`),
  )
  const want: HostState = {
    ...ONE_NETWORK,
    bridges,
    tun: {
      name: 'ov-tun',
      mtu: 1450,
      queueLength: 4000,
      qdisc: 'fq_codel',
      addresses: bridges.map((_, n) => `10.40.${n}.0/32`),
    },
    routes: Array.from({ length: 1000 }, (_, n) => {
      return {
        type: 'unicast',
        to: `10.5${n >> 8}.${n & 255}.0/24`,
        dev: 'ov-tun',
        src: '10.40.0.0',
      }
    }),
    allowed: bridges.flatMap(({ name }, n) => {
      return Array.from({ length: 20 }, (_, m) => {
        return {
          fromLink: name,
          toLink: 'ov-tun',
          fromPrefix: `10.40.${n}.0/24`,
          toPrefix: `10.50.${m}.0/24`,
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
  const forSecond = started.splice(0).length
  programStarts.unsubscribe(count)
  assert.equal(await sh('ip route show proto 79 | wc -l').then(Number), 1000)
  assert(forFirst <= 8, `${forFirst} programs to apply`)
  assert(forSecond <= 4, `${forSecond} programs to see that nothing is missing`)
})
