import { enterOwnNetns, Netns, sh } from '../../support/netns.ts'
enterOwnNetns()
import assert from 'node:assert/strict'
import { before, test } from 'node:test'
import { OverlayError } from '../../../src/errors.ts'
import { bridgeName, containerVethName, hostVethName } from '../../../src/linux/host-state.ts'
import { programStarts } from '../../../src/linux/run.ts'
import { addVeth, describeLink, removeLink } from '../../../src/linux/veth.ts'

const ID = 'f'.repeat(64)
const PAIR = {
  host: hostVethName(ID),
  container: containerVethName(ID),
  bridge: bridgeName(ID),
  mtu: 1400,
  gsoMaxSize: 60_000,
  mac: '02:42:0a:21:05:02',
}

before(async () => {
  await sh(`ip link add name ${PAIR.bridge} type bridge`)
})

test('a pair is made by one program: names, MTU, MAC, bridge, host end up', async () => {
  let started = 0
  const count = (): number => ++started
  programStarts.subscribe(count)
  await addVeth(PAIR)
  programStarts.unsubscribe(count)
  assert.equal(started, 1)
  const host = await describeLink(PAIR.host)
  assert(host)
  assert(host.flags.includes('UP'))
  assert.deepEqual([host.master, host.mtu], [PAIR.bridge, 1400])
  const container = await describeLink(PAIR.container)
  assert(container && !container.flags.includes('UP'))
  assert.deepEqual([container.address, container.mtu], [PAIR.mac, 1400])
  for (const name of [PAIR.host, PAIR.container]) {
    assert.match(await sh(`ip -details link show ${name}`), /gso_max_size 60000/)
  }
})

test('the same pair again is success, also when its end is in a container', async () => {
  await addVeth(PAIR)
  await using netns = await Netns.create('c')
  await sh(`ip link set ${PAIR.container} netns ${netns.name} name eth0`)
  await addVeth(PAIR)
  const home = String(process.pid)
  await netns.run('ip', 'link', 'set', 'eth0', 'netns', home, 'name', PAIR.container)
})

test('another pair under the same name is a conflict and is left alone', async () => {
  await addVeth(PAIR)
  await assert.rejects(addVeth({ ...PAIR, mtu: 1300 }), (error) => {
    assert(error instanceof OverlayError)
    assert.equal(error.code, 'conflict')
    return true
  })
  assert.equal((await describeLink(PAIR.host))?.mtu, 1400)
})

test('a removed link is gone with its other end, and removing it again is success', async () => {
  assert.equal(await removeLink(PAIR.host), true)
  assert.equal(await removeLink(PAIR.host), false)
  assert.equal(await describeLink(PAIR.container), null)
})

test('a pair that cannot be made leaves neither end', async () => {
  const before = await sh('ip -br link')
  await assert.rejects(addVeth({ ...PAIR, bridge: 'ov-bmissing' }), /ov-bmissing/)
  await assert.rejects(addVeth({ ...PAIR, bridge: 'lo' }), { code: 'host_state' })
  await assert.rejects(addVeth({ ...PAIR, mtu: 1_000_000 }), { code: 'host_state' })
  await sh('ip link add name ov-ctaken type bridge')
  await assert.rejects(addVeth({ ...PAIR, container: 'ov-ctaken' }), { code: 'conflict' })
  await sh('ip link del ov-ctaken')
  assert.equal(await sh('ip -br link'), before)
})

test('names of links fit the 15 characters that the kernel allows', () => {
  for (const name of [PAIR.host, PAIR.container, PAIR.bridge]) assert(name.length <= 15, name)
})

test('IPv6 stays silent on the host end', async () => {
  await addVeth(PAIR)
  await sh(`ip link set ${PAIR.container} up`)
  const text = await sh(
    `cat /proc/sys/net/ipv6/conf/${PAIR.host}/disable_ipv6 2>/dev/null || echo 1`,
  )
  assert.equal(text, '1\n')
  await removeLink(PAIR.host)
})
