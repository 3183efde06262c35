import assert from 'node:assert/strict'
import { test } from 'node:test'
import { decideNaming } from '../../../src/control/decide-naming.ts'
import { keyspace } from '../store/view-support.ts'
import {
  BY,
  clusterOf,
  held,
  heldHalf,
  host,
  lease,
  ME,
  OTHER,
  overlay,
  pooledLease,
  writesOf,
} from './control-support.ts'

const UNNAMED = { overlay: null, vni: 0 } as const
const plain = held('172.20.0.0/16', { ...UNNAMED, kind: 'docker' })
const pooled = held('10.40.1.0/24', { ...UNNAMED, kind: 'pooled', pool: '10.40.0.0/16' })

test('the first network of a name makes the overlay and joins it', () => {
  const decision = decideNaming(clusterOf(), plain, 'web', BY, keyspace)
  assert.deepEqual(decision.result, { name: 'web', vni: 4096 })
  assert.deepEqual(writesOf(decision), [
    'put overlays/web {"VNI":4096,"Pool":null,"SubnetLen":null}',
    'put subnets/172.20.0.0-16 {"PublicIP":"172.18.10.96","PublicIPv6":null,"BackendType":"vxlan",' +
      '"BackendData":{"VNI":4096,"VtepMAC":"02:11:22:33:44:55"},' +
      `"HostID":"${ME}","Overlay":"web","Kind":"docker","Pool":null,"MTU":1450,"NetworkID":"${'n'.repeat(64)}"} lease 7`,
  ])
})

test('a network of a name that exists joins its overlay', () => {
  const view = clusterOf({ 'overlays/web': overlay(4321) })
  const decision = decideNaming(view, plain, 'web', BY, keyspace)
  assert.deepEqual(decision.result, { name: 'web', vni: 4321 })
  assert.equal(decision.operations.length, 1)
})

test('the first name of a shared pool becomes that of its overlay, which owns the pool', () => {
  const decision = decideNaming(clusterOf(), pooled, 'app', BY, keyspace)
  assert.equal(
    writesOf(decision)[0],
    'put overlays/app {"VNI":4096,"Pool":"10.40.0.0/16","SubnetLen":24}',
  )
})

test("the VNI that was asked for is the new overlay's, and an existing one must have it", () => {
  const view = clusterOf({ 'overlays/app': overlay(4100, '10.40.0.0/16') })
  for (const each of [
    plain,
    held('10.41.1.0/24', { ...UNNAMED, kind: 'pooled', pool: '10.41.0.0/16' }),
  ]) {
    assert.equal(decideNaming(view, each, 'web', BY, keyspace, 5000).result.vni, 5000)
    assert.throws(() => decideNaming(view, each, 'web', BY, keyspace, 4100), {
      code: 'conflict',
      message: /vni=4100 is taken by overlay app, so the new overlay web cannot have it/,
    })
  }
  assert.equal(decideNaming(view, pooled, 'app', BY, keyspace, 4100).result.vni, 4100)
  assert.throws(() => decideNaming(view, pooled, 'app', BY, keyspace, 5000), {
    code: 'conflict',
    message: /overlay app exists already and has the VNI 4100, not 5000; write vni=4100/,
  })
})

test('the overlay that owns the pool is joined whatever the network is called here', () => {
  const view = clusterOf({ 'overlays/app': overlay(4100, '10.40.0.0/16') })
  const { result } = decideNaming(view, pooled, 'mine', BY, keyspace)
  assert.deepEqual([result.name, result.vni], ['app', 4100])
})

test('a name that belongs to an overlay of another kind or pool is refused with the command that joins it', () => {
  const view = clusterOf({
    'overlays/pooled': overlay(4100, '10.50.0.0/16'),
    'overlays/routed': overlay(4101),
  })
  assert.throws(() => decideNaming(view, plain, 'pooled', BY, keyspace), {
    code: 'conflict',
    message: /overlay pooled is pooled.*--ipam-driver overlay-ts --ipam-opt overlay=pooled pooled$/,
  })
  assert.throws(() => decideNaming(view, pooled, 'routed', BY, keyspace), {
    code: 'conflict',
    message: /overlay routed is routed.*-o overlay=routed routed$/,
  })
  assert.throws(() => decideNaming(view, pooled, 'pooled', BY, keyspace), {
    code: 'conflict',
    message: /has the pool 10\.50\.0\.0\/16/,
  })
})

test('a subnet that another host has by now is not written over', () => {
  for (const [text, value] of [
    ['172.20.0.0-16', lease({ kind: 'docker' })],
    ['172.20.7.0-24', lease({ kind: 'docker' })],
  ] as const) {
    const view = clusterOf({ [`subnets/${text}`]: value, [`hosts/${OTHER}`]: host('b', '1.2.3.4') })
    assert.throws(() => decideNaming(view, plain, 'web', BY, keyspace), {
      code: 'conflict',
      message: /^the subnet 172\.20\.0\.0\/16 of this network belongs to host b by now/,
    })
  }
  const ours = clusterOf({ 'subnets/10.40.1.0-24': pooledLease('10.40.0.0/16', { hostId: ME }) })
  assert.equal(decideNaming(ours, pooled, 'web', BY, keyspace).result.name, 'web')
})

test('the IPv6 pool that a subnet was made with becomes the overlay’s, new or not, unless it has another', () => {
  const both = { ...pooled, ipv6: heldHalf('fd00:40:0:1::/64', 'fd00:40::/48') }
  const record = (vni: number): string =>
    `put overlays/app {"VNI":${vni},"Pool":"10.40.0.0/16","SubnetLen":24,"Pool6":"fd00:40::/48"}`
  const made = writesOf(decideNaming(clusterOf(), both, 'app', BY, keyspace))
  assert.equal(made[0], record(4096))
  assert.match(made[1]!, /^put subnets\/10\.40\.1\.0-24&fd00:40:0:1::-64 .*"Pool6":"fd00:40::\/48"/)
  const without = clusterOf({ 'overlays/app': overlay(4100, '10.40.0.0/16') })
  assert.equal(writesOf(decideNaming(without, both, 'app', BY, keyspace))[0], record(4100))
  const same = clusterOf({ 'overlays/app': overlay(4100, '10.40.0.0/16', 'fd00:40::/48') })
  assert.equal(decideNaming(same, both, 'app', BY, keyspace).operations.length, 1)
  assert.equal(decideNaming(same, pooled, 'app', BY, keyspace).operations.length, 1)
  const other = clusterOf({ 'overlays/app': overlay(4100, '10.40.0.0/16', 'fd00:50::/48') })
  assert.throws(() => decideNaming(other, both, 'app', BY, keyspace), {
    code: 'conflict',
    message:
      /made with the IPv6 pool fd00:40::\/48, but the overlay app has fd00:50::\/48; .* --ipam-opt overlay=app --ipv6 app$/,
  })
})
