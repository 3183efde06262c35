import assert from 'node:assert/strict'
import { test } from 'node:test'
import { readIpamOptions, readNetworkOptions } from '../../../plugin/options.ts'
import { recordingLog } from '../control/control-support.ts'

const quiet = recordingLog().log

test('a network names its overlay and its MTU, or leaves both open', () => {
  assert.deepEqual(readNetworkOptions({}, quiet), { overlay: null, mtu: null })
  assert.deepEqual(readNetworkOptions({ overlay: 'web', mtu: '1400' }, quiet), {
    overlay: 'web',
    mtu: 1400,
  })
})

test("Docker's own MTU option counts where ours is not given", () => {
  const docker = { 'com.docker.network.driver.mtu': '1300' }
  assert.equal(readNetworkOptions(docker, quiet).mtu, 1300)
  assert.equal(readNetworkOptions({ ...docker, mtu: '1200' }, quiet).mtu, 1200)
})

test('only Docker carries the way out, and another gateway is refused with the reason', () => {
  readNetworkOptions({ gateway: 'docker' }, quiet)
  assert.throws(() => readNetworkOptions({ gateway: 'bridge' }, quiet), {
    code: 'unsupported',
    message: /-o gateway=bridge is not supported: .*docker_gwbridge.*leave the option out/,
  })
})

test('an address plan names its overlay and the lengths of pool and subnet', () => {
  assert.deepEqual(readIpamOptions({}, quiet), {
    overlay: null,
    poolLength: null,
    subnetLength: null,
  })
  assert.deepEqual(
    readIpamOptions({ overlay: 'web', 'pool-len': '8', 'subnet-len': '30' }, quiet),
    { overlay: 'web', poolLength: 8, subnetLength: 30 },
  )
})

test('what is no number, no length or no name is refused with the option that says so', () => {
  for (const mtu of ['', '14OO', '-1', '1e3', '9'.repeat(7), ' 1400']) {
    assert.throws(() => readNetworkOptions({ mtu }, quiet), {
      code: 'bad_input',
      message: `-o mtu=${mtu} is not a number`,
    })
  }
  for (const length of ['7', '31', '128']) {
    assert.throws(() => readIpamOptions({ 'pool-len': length }, quiet), {
      code: 'bad_input',
      message: `--ipam-opt pool-len=${length} is not a prefix length from 8 to 30`,
    })
  }
  assert.throws(() => readIpamOptions({ 'subnet-len': '24/' }, quiet), { code: 'bad_input' })
  for (const overlay of ['', 'a/b', '-x', 'x'.repeat(65)]) {
    assert.throws(() => readNetworkOptions({ overlay }, quiet), { code: 'bad_input' })
    assert.throws(() => readIpamOptions({ overlay }, quiet), { code: 'bad_input' })
  }
})

test('an option nobody knows is said and passed over, one of Docker itself only passed over', () => {
  const { log, said } = recordingLog()
  readNetworkOptions({ overlai: 'web', 'com.docker.network.bridge.name': 'x' }, log)
  readIpamOptions({ pool: '10.0.0.0/8' }, log)
  assert.deepEqual(said, [
    'warn: -o overlai= is not an option of overlay-ts (overlay, mtu, gateway) and has no effect',
    'warn: --ipam-opt pool= is not an option of overlay-ts (overlay, pool-len, subnet-len) and has no effect',
  ])
})
