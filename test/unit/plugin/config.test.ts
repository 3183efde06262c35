import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { loadConfig, type Environment } from '../../../plugin/config.ts'
import { describeConfig } from '../../../plugin/describe-config.ts'
import { SETTINGS } from '../../../plugin/settings.ts'
import { workersFor } from '../../../plugin/worker-count.ts'
import { OverlayError } from '../../../src/errors.ts'
import { formatCidr } from '../../../src/net/cidr.ts'
import { formatIp } from '../../../src/net/ipv6.ts'

/** The lines that say what is wrong. */
function problemsOf(env: Environment): string[] {
  try {
    loadConfig(env)
  } catch (error) {
    assert.ok(error instanceof OverlayError)
    assert.equal(error.code, 'bad_input')
    return error.message.split('\n  ').slice(1)
  }
  return []
}

function fileWith(t: TestContext, content: string): string {
  const folder = mkdtempSync(join(tmpdir(), 'ovt-config-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const path = join(folder, 'file')
  writeFileSync(path, content)
  return path
}

test('the forwarder has a thread for two cores, at least one and at most four', () => {
  assert.deepEqual([1, 2, 3, 4, 7, 8, 64].map(workersFor), [1, 1, 1, 2, 3, 4, 4])
})

test('an empty environment gives the documented defaults', () => {
  const config = loadConfig({})
  assert.deepEqual(config.etcd, {
    endpoints: [],
    prefix: '/overlay-ts',
    tls: null,
    auth: null,
    own: { port: 2379, others: null },
  })
  assert.equal(formatCidr(config.network), '10.32.0.0/12')
  assert.equal(config.poolLength, 17)
  assert.equal(config.subnetLength, 24)
  assert.equal(config.vxlanPort, 8472)
  assert.equal(config.workers, workersFor(availableParallelism()))
  assert.equal(config.busyPollUs, 100)
  assert.equal(config.udpSegmentation, 'auto')
  assert.equal(config.udpReceiveOffload, 'auto')
  assert.equal(config.dscp, 0)
  assert.equal(config.datapath, 'userspace')
  assert.equal(config.iface, null)
  assert.equal(config.hostIp, null)
  assert.equal(config.socket, '/run/docker/plugins/overlay-ts.sock')
  assert.equal(config.stateDir, '/var/lib/overlay-ts')
  assert.deepEqual(config.adminListen, { host: '127.0.0.1', port: 9847 })
  assert.equal(config.dockerHost, 'unix:///var/run/docker.sock')
  assert.equal(config.logLevel, 'info')
})

test('an empty variable counts as unset', () => {
  const empty = Object.fromEntries(Object.keys(SETTINGS).map((name) => [name, ' ']))
  assert.deepEqual(loadConfig(empty), loadConfig({}))
})

test('every variable is taken', (t) => {
  const config = loadConfig({
    ETCD_ENDPOINTS: 'https://172.18.10.95:2379, https://[fd00::1]/,https://etcd.example:443',
    ETCD_PREFIX: '/coreos.com/network',
    ETCD_CACERT: fileWith(t, 'CA'),
    ETCD_CERT: fileWith(t, 'CERT'),
    ETCD_KEY: fileWith(t, 'KEY'),
    ETCD_USER: 'root',
    ETCD_PASSWORD: 'hunter2',
    IFACE: 'eth1',
    HOST_IP: '203.0.113.7',
    NETWORK: '10.5.0.0/16',
    POOL_LEN: '18',
    SUBNET_LEN: '26',
    VXLAN_PORT: '4789',
    DATAPATH: 'userspace',
    WORKERS: '4',
    BUSY_POLL_US: '0',
    UDP_SEGMENTATION: 'off',
    UDP_RECEIVE_OFFLOAD: 'on',
    DSCP: 'inherit',
    SOCKET: '/run/docker/plugins/web.sock',
    HOST_SOCKET: '/host/run/docker/plugins/web.sock',
    HOST_DIR: '/host',
    STATE_DIR: '/data',
    ADMIN_LISTEN: '[::1]:0',
    DOCKER_HOST: 'tcp://127.0.0.1:2375',
    LOG_LEVEL: 'debug',
  })
  assert.deepEqual(config.etcd.endpoints, [
    'https://172.18.10.95:2379',
    'https://[fd00::1]:2379',
    'https://etcd.example:443',
  ])
  assert.equal(config.etcd.prefix, '/coreos.com/network')
  assert.equal(config.etcd.tls?.ca, 'CA')
  assert.equal(config.etcd.tls.cert, 'CERT')
  assert.equal(config.etcd.tls.key?.reveal(), 'KEY')
  assert.equal(config.etcd.auth?.user, 'root')
  assert.equal(config.etcd.auth.password.reveal(), 'hunter2')
  assert.equal(config.iface, 'eth1')
  assert.equal(formatIp(config.hostIp ?? 0), '203.0.113.7')
  assert.equal(formatCidr(config.network), '10.5.0.0/16')
  assert.equal(config.poolLength, 18)
  assert.equal(config.subnetLength, 26)
  assert.equal(config.vxlanPort, 4789)
  assert.equal(config.workers, 4)
  assert.equal(config.busyPollUs, 0)
  assert.equal(config.udpSegmentation, 'off')
  assert.equal(config.udpReceiveOffload, 'on')
  assert.equal(config.dscp, 'inherit')
  assert.equal(config.socket, '/run/docker/plugins/web.sock')
  assert.equal(config.hostSocket, '/host/run/docker/plugins/web.sock')
  assert.equal(config.paths.run, '/host/run')
  assert.equal(config.stateDir, '/data')
  assert.deepEqual(config.adminListen, { host: '::1', port: 0 })
  assert.equal(config.dockerHost, 'tcp://127.0.0.1:2375')
  assert.equal(config.logLevel, 'debug')
})

test('user and password come from the first line of files', (t) => {
  const config = loadConfig({
    ETCD_ENDPOINTS: 'http://a:1',
    ETCD_USER_FILE: fileWith(t, 'root\n'),
    ETCD_PASSWORD_FILE: fileWith(t, 'hunter2\nsecond line\n'),
  })
  assert.equal(config.etcd.auth?.user, 'root')
  assert.equal(config.etcd.auth.password.reveal(), 'hunter2')
})

test('all problems are said at once, each with its variable, what was found and what is wanted', () => {
  assert.deepEqual(
    problemsOf({
      NETWORK: '10.32.0.1/12',
      VXLAN_PORT: '70000',
      WORKERS: '0',
      DSCP: '64',
      DATAPATH: 'kernel',
      LOG_LEVEL: 'loud',
      HOST_IP: '127.0.0.1',
    }),
    [
      'HOST_IP: found "127.0.0.1", wanted an address such as 172.18.10.96 or fd00:18::96',
      'NETWORK: found "10.32.0.1/12", wanted an IPv4 prefix such as 10.32.0.0/12, not longer than ' +
        '/28 and usable for hosts ("10.32.0.1/12" has bits beyond its prefix length; did you mean ' +
        '10.32.0.0/12)',
      'VXLAN_PORT: found "70000", wanted a whole number from 1 to 65535',
      'DATAPATH: found "kernel", wanted userspace (the kernel datapath is not part of this version)',
      'WORKERS: found "0", wanted a whole number from 1 to 64',
      'DSCP: found "64", wanted "inherit" or a whole number from 0 to 63',
      'LOG_LEVEL: found "loud", wanted fatal, error, warn, info, debug, trace, silent',
    ],
  )
})

test('a wrong value of any variable is refused', () => {
  const wrong: Record<string, string[]> = {
    ETCD_ENDPOINTS: [
      '172.18.10.95:2379',
      'ftp://x:1',
      'http://a:1,https://b:1',
      'http://a:1,',
      'http://a:1/v2',
    ],
    ETCD_PREFIX: ['overlay-ts', '/overlay-ts/', '/', '/a//b', '/a b'],
    ETCD_CACERT: ['ca.pem', '/nonexistent/ca.pem'],
    ETCD_LISTEN: [
      '0.0.0.0',
      '127.0.0.2',
      'fd00::1',
      '[fd00::1',
      'fd00::1]:2379',
      '[::1]',
      '[fe80::1]',
      '[172.18.10.96]',
      '[]',
      'host-96',
      '172.18.10.96:0',
      '172.18.10.96:70000',
      ':2379',
    ],
    ETCD_LISTEN_CERT: ['server.crt'],
    ETCD_INSECURE: ['yes', '2'],
    IFACE: ['sixteen-letters-', 'a b', 'a/b', 'eth0:1'],
    HOST_IP: [
      '010.1.1.1',
      '224.0.0.1',
      '0.0.0.0',
      'example.org',
      '::',
      '::1',
      'fe80::1',
      'fe80::1%eth0',
      'ff02::1',
      '::ffff:10.0.0.1',
      'fd00::1::',
    ],
    NETWORK: ['fd00::/64', '10.0.0.0', '10.0.0.0/29', '127.0.0.0/8', '0.0.0.0/0', '224.0.0.0/8'],
    POOL_LEN: ['-1', '1e1', '17.0', '0x11', '29'],
    SUBNET_LEN: ['31', '1'],
    VXLAN_PORT: ['0', '65536', ' ,'],
    SOCKET: ['overlay-ts.sock', '/', '/run/', `/run/${'x'.repeat(103)}`],
    HOST_SOCKET: ['overlay-ts', '/run/'],
    HOST_DIR: ['/', 'host'],
    STATE_DIR: ['/', 'state'],
    ADMIN_LISTEN: ['9847', ':9847', 'localhost:9847', '127.0.0.1', '::1:9847', '127.0.0.1:65536'],
    DOCKER_HOST: ['/var/run/docker.sock', 'unix://', 'ssh://host:22', 'tcp://host'],
  }
  for (const [name, values] of Object.entries(wrong)) {
    for (const value of values) {
      const problems = problemsOf({ [name]: value })
      assert.equal(problems.length, 1, `${name}=${value}: ${problems.join('; ')}`)
      assert.ok(problems[0]?.startsWith(`${name}: found `), problems[0])
    }
  }
})

test('lengths must fit into each other', () => {
  assert.deepEqual(problemsOf({ NETWORK: '10.0.0.0/23' }), [
    'SUBNET_LEN: found 24, wanted 25 to 30, so that NETWORK 10.0.0.0/23 holds at least four subnets',
  ])
  assert.deepEqual(problemsOf({ NETWORK: '10.0.0.0/20' }), [
    'POOL_LEN: found 17, wanted 20 to 22, between NETWORK 10.0.0.0/20 and four subnets of SUBNET_LEN 24',
  ])
  assert.equal(problemsOf({ POOL_LEN: '23' }).length, 1)
  assert.equal(problemsOf({ POOL_LEN: '11' }).length, 1)
  assert.deepEqual(problemsOf({ POOL_LEN: '22' }), [])
  assert.deepEqual(problemsOf({ POOL_LEN: '12' }), [])
})

test('settings of etcd that need each other are asked for', (t) => {
  const file = fileWith(t, 'x')
  const https = { ETCD_ENDPOINTS: 'https://a:1' }
  assert.deepEqual(problemsOf({ ...https, ETCD_CERT: file, ETCD_CACERT: file }), [
    'ETCD_KEY: wanted since ETCD_CERT is set, found nothing',
  ])
  assert.deepEqual(problemsOf({ ...https, ETCD_KEY: file, ETCD_CACERT: file }), [
    'ETCD_CERT: wanted since ETCD_KEY is set, found nothing',
  ])
  const http = { ETCD_ENDPOINTS: 'http://a:1' }
  assert.deepEqual(problemsOf({ ...http, ETCD_USER: 'root' }), [
    'ETCD_PASSWORD: wanted since ETCD_USER is set, found nothing',
  ])
  const both = { ETCD_USER: 'a', ETCD_PASSWORD: 'b', ETCD_PASSWORD_FILE: file }
  assert.deepEqual(problemsOf({ ...http, ...both }), [
    'ETCD_PASSWORD: wanted this or ETCD_PASSWORD_FILE, found both',
  ])
  assert.deepEqual(problemsOf({ ETCD_ENDPOINTS: 'http://a:1', ETCD_CACERT: file }), [
    'ETCD_CACERT: is of use only with https, found http://a:1',
  ])
})

test('a name that is nearly ours is reported', () => {
  const slips: Record<string, string> = {
    ETCD_ENDPOINT: 'ETCD_ENDPOINTS',
    ETCD_ENPOINTS: 'ETCD_ENDPOINTS',
    etcd_prefix: 'ETCD_PREFIX',
    VXLANPORT: 'VXLAN_PORT',
    'VXLAN-PORT': 'VXLAN_PORT',
    SUBNETLEN: 'SUBNET_LEN',
    STATE_DIRS: 'STATE_DIR',
  }
  for (const [slip, meant] of Object.entries(slips)) {
    assert.deepEqual(problemsOf({ [slip]: 'x' }), [
      `${slip}: there is no such variable; did you mean ${meant}`,
    ])
  }
})

test('names of other programs are none of our business', () => {
  const others =
    'ETCD_NAME ETCD_DATA_DIR ETCD_CERT_FILE ETCD_KEY_FILE ETCD_TRUSTED_CA_FILE ' +
    'ETCDCTL_ENDPOINTS ETCDCTL_CACERT ETCDCTL_CERT ETCDCTL_KEY ETCDCTL_USER ' +
    'ETCDCTL_PASSWORD ETCD_CORS ETCD_LISTEN_CLIENT_URLS ETCD_LISTEN_PEER_URLS LOGLEVEL NETWORKS SOCKETS ' +
    'DOCKER_HOSTS HOSTNAME PATH PWD HOME ' +
    'DOCKER_CONFIG NODE_OPTIONS STATE_DIRECTORY'
  assert.deepEqual(problemsOf(Object.fromEntries(others.split(' ').map((name) => [name, 'x']))), [])
  assert.deepEqual(problemsOf(process.env), [])
})

test('no secret shows in what is printed, right or wrong', (t) => {
  const config = loadConfig({
    ETCD_USER: 'root',
    ETCD_PASSWORD: 'hunter2',
    ETCD_ENDPOINTS: 'https://a:1',
    ETCD_CACERT: fileWith(t, 'CA'),
    ETCD_CERT: fileWith(t, 'CERT'),
    ETCD_KEY: fileWith(t, 'hunter2'),
  })
  assert.doesNotMatch(JSON.stringify(config), /hunter2/)
  assert.doesNotMatch(describeConfig(config), /hunter2/)
  assert.match(describeConfig(config), /^ETCD_PASSWORD +\[redacted\]$/m)
  for (const endpoint of [
    'http://root:hunter2@a:1',
    'root:hunter2@a:1',
    'http://root:hunt@er2@a:1',
  ]) {
    const said = problemsOf({ ETCD_ENDPOINTS: endpoint }).join('\n')
    assert.match(said, /^ETCD_ENDPOINTS: found/)
    assert.doesNotMatch(said, /hunt|er2/)
  }
})

test('the effective configuration is one aligned line for each variable', () => {
  const lines = describeConfig(loadConfig({ NETWORK: '10.64.0.0/12' }))
    .trimEnd()
    .split('\n')
  assert.deepEqual(
    lines.map((line) => line.split(' ')[0]),
    Object.keys(SETTINGS),
  )
  assert.ok(lines.includes('NETWORK              10.64.0.0/12'))
  const port = lines.find((line) => line.startsWith('VXLAN_PORT'))
  assert.match(port ?? '', /^VXLAN_PORT {11}8472 +\(default\)$/)
  assert.equal(new Set(lines.filter((l) => l.endsWith('(default)')).map((l) => l.length)).size, 1)
})
