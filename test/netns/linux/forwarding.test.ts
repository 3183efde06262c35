import { enterOwnNetns, sh } from '../../support/netns.ts'
enterOwnNetns()
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { applyHostState } from '../../../src/linux/apply.ts'
import { EMPTY_HOST_STATE } from '../../../src/linux/host-state.ts'
import { Container, PATIENCE_S } from './container.ts'
import { exampleRoutes, ONE_NETWORK } from './example-host.ts'
import { TunEcho } from './tun-echo.ts'

let container: Container
let remote: TunEcho

before(async () => {
  await applyHostState(ONE_NETWORK)
  container = await Container.create('ov-b1', '10.33.5.2/17')
  await applyHostState({ ...ONE_NETWORK, ports: [container.port] })
  remote = new TunEcho('ov-tun')
})

after(async () => {
  remote[Symbol.dispose]()
  await container[Symbol.asyncDispose]()
  await applyHostState(EMPTY_HOST_STATE)
})

const arping = (ip: string, seconds = PATIENCE_S): Promise<string> =>
  container.netns.run('sh', '-c', `busybox arping -c 1 -w ${seconds} -I eth0 ${ip} || true`)

test('the bridge answers ARP at once for addresses behind the TUN', async () => {
  const times: number[] = []
  for (let batch = 1; batch <= 3; batch++) {
    const answers = Array.from({ length: 7 }, (_, n) => arping(`10.33.9.${batch * 10 + n}`))
    for (const answer of await Promise.all(answers)) {
      const [, mac, time] = /reply from \S+ \[(\S+)\] ([\d.]+)ms/.exec(answer) ?? []
      assert.equal(mac, '02:00:00:00:00:01')
      times.push(Number(time))
    }
  }
  // The kernel's default answers after a random time up to 800 ms, in one of eight cases before 100 ms;
  // a busy machine delays some answers, not most.
  const median = times.toSorted((a, b) => a - b)[10]!
  assert(median < 100, `answers took ${times.join(', ')} ms`)
})

test('the bridge does not answer ARP for addresses of its own subnet', async () => {
  assert.match(await arping('10.33.5.77', 1), /Received 0 res/)
})

test('the bridge does not answer ARP for addresses outside the pool', async () => {
  assert.match(await arping('10.77.0.1', 1), /Received 0 res/)
})

for (const filter of [0, 1, 2]) {
  test(`a container reaches a remote address, which sees its own, with rp_filter ${filter}`, async () => {
    await sh(`sysctl -qw net.ipv4.conf.all.rp_filter=${filter}`)
    await sh(
      `sysctl -qw net.ipv4.conf.ov-tun.rp_filter=${filter} net.ipv4.conf.ov-b1.rp_filter=${filter}`,
    )
    remote.pings.length = 0
    assert(await container.ping('10.33.9.9'))
    assert.deepEqual(remote.pings, ['10.33.5.2 > 10.33.9.9'])
  })
}

test('the host reaches a remote address from the .0 of its subnet', async () => {
  remote.pings.length = 0
  await sh(`busybox ping -c 1 -W ${PATIENCE_S} 10.33.9.9`)
  assert.deepEqual(remote.pings, ['10.33.5.0 > 10.33.9.9'])
})

test('in a second overlay the host is the .0 of its subnet there', async () => {
  await applyHostState({
    ...ONE_NETWORK,
    tun: { ...ONE_NETWORK.tun!, addresses: ['10.33.5.0/32', '10.34.5.0/32'] },
    ports: [container.port],
    routes: [...ONE_NETWORK.routes, ...exampleRoutes('10.34.0.0/17', '10.34.5.0')],
  })
  remote.pings.length = 0
  await sh(`busybox ping -c 1 -W ${PATIENCE_S} 10.34.9.9`)
  assert.deepEqual(remote.pings, ['10.34.5.0 > 10.34.9.9'])
})

test('without the TUN the pool is a blackhole and not the default route', async () => {
  await sh('ip link add name eth7 type bridge; ip address add 192.0.2.1/24 dev eth7')
  await sh('ip link set eth7 up; ip route add default via 192.0.2.2')
  assert.match(await sh('ip route get 10.77.0.1'), /dev eth7/)
  await sh('ip link set ov-tun down')
  assert.match(await sh('ip route get 10.33.9.9 2>&1 || true'), /Invalid argument/)
  await sh('ip link del eth7')
})
