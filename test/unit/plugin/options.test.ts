import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  readIpamOptions,
  readNetworkOptions,
  refuseUnknownOptions,
} from '../../../plugin/options.ts'

test('a network names its overlay, its VNI, its MTU and its length, or leaves all open', () => {
  assert.deepEqual(readNetworkOptions({}), {
    overlay: null,
    vni: null,
    mtu: null,
    egress: 'docker',
    subnetLength: null,
  })
  assert.deepEqual(
    readNetworkOptions({ overlay: 'web', vni: '16777215', mtu: '1400', 'subnet-len': '26' }),
    { overlay: 'web', vni: 16777215, mtu: 1400, egress: 'docker', subnetLength: 26 },
  )
})

test("Docker's own MTU option counts where ours is not given", () => {
  const docker = { 'com.docker.network.driver.mtu': '1300' }
  assert.equal(readNetworkOptions(docker).mtu, 1300)
  assert.equal(readNetworkOptions({ ...docker, mtu: '1200' }).mtu, 1200)
})

test("the way out is Docker's unless the network's own bridge is asked for, and no other", () => {
  assert.equal(readNetworkOptions({}).egress, 'docker')
  assert.equal(readNetworkOptions({ gateway: 'docker' }).egress, 'docker')
  assert.equal(readNetworkOptions({ gateway: 'bridge' }).egress, 'bridge')
  assert.throws(() => readNetworkOptions({ gateway: '10.0.0.1' }), {
    code: 'bad_input',
    message: /-o gateway=10\.0\.0\.1 is no gateway: .*gateway=bridge.*is --gateway\)$/,
  })
})

test('an address plan names its overlay, its VNI and the lengths of pool and subnet', () => {
  assert.deepEqual(readIpamOptions({}), {
    overlay: null,
    vni: null,
    poolLength: null,
    subnetLength: null,
  })
  assert.deepEqual(
    readIpamOptions({ overlay: 'web', vni: '1', 'pool-len': '8', 'subnet-len': '30' }),
    { overlay: 'web', vni: 1, poolLength: 8, subnetLength: 30 },
  )
})

test('what is no number, no length, no VNI or no name is refused with the option that says so', () => {
  for (const mtu of ['', '14OO', '-1', '1e3', '9'.repeat(9), ' 1400']) {
    assert.throws(() => readNetworkOptions({ mtu }), {
      code: 'bad_input',
      message: `-o mtu=${mtu} is not a number; write digits alone`,
    })
  }
  for (const length of ['7', '31', '128']) {
    assert.throws(() => readIpamOptions({ 'pool-len': length }), {
      code: 'bad_input',
      message: `--ipam-opt pool-len=${length} is not a prefix length; give one from 8 to 30`,
    })
    assert.throws(() => readNetworkOptions({ 'subnet-len': length }), {
      message: `-o subnet-len=${length} is not a prefix length; give one from 8 to 30`,
    })
  }
  for (const vni of ['0', '16777216']) {
    const message = new RegExp(` vni=${vni} is not a VXLAN network identifier; .* 1 to 16777215$`)
    assert.throws(() => readNetworkOptions({ vni }), { code: 'bad_input', message })
    assert.throws(() => readIpamOptions({ vni }), { code: 'bad_input', message })
  }
  assert.throws(() => readIpamOptions({ 'subnet-len': '24/' }), { code: 'bad_input' })
  for (const overlay of ['', 'a/b', '-x', 'x'.repeat(65)]) {
    assert.throws(() => readNetworkOptions({ overlay }), { code: 'bad_input' })
    assert.throws(() => readIpamOptions({ overlay }), { code: 'bad_input' })
  }
})

test('an option nobody knows is refused with those there are and the one that was meant', () => {
  const sentences = [
    [
      '-o',
      'overlai',
      /no option -o overlai=; did you mean -o overlay=\? \(the options of -o are overlay, vni, mtu, gateway, subnet-len\)$/,
    ],
    ['-o', 'Overlay', /did you mean -o overlay=\?/],
    ['-o', 'encrypted', /no option -o encrypted=; leave it out \(the options/],
    ['-o', 'pool-len', /write it behind the other flag: --ipam-opt pool-len= /],
    [
      '--ipam-opt',
      'subnet_len',
      /did you mean --ipam-opt subnet-len=\? \(.* overlay, vni, pool-len, subnet-len\)$/,
    ],
    ['--ipam-opt', 'mtu', /write it behind the other flag: -o mtu= /],
  ] as const
  for (const [flag, key, message] of sentences) {
    assert.throws(() => refuseUnknownOptions(flag, { overlay: 'web', [key]: '' }), {
      code: 'bad_input',
      message,
    })
  }
})

test('an option of Docker itself is passed over, whatever it is', () => {
  const docker = { 'com.docker.network.bridge.name': 'x', 'com.docker.of.tomorrow': '' }
  refuseUnknownOptions('-o', docker)
  refuseUnknownOptions('--ipam-opt', docker)
})
