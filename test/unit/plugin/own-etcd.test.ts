import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { after, before, test } from 'node:test'
import { loadConfig, type Environment } from '../../../plugin/config.ts'
import { describeConfig } from '../../../plugin/describe-config.ts'
import { messageOf } from '../../../src/errors.ts'
import { Certificates } from '../../support/certificates.ts'

const IP = '172.18.10.96'

let certs: Certificates
/** Everything that a door with certificates wants. */
let files: Environment

before(async () => {
  certs = await Certificates.create([IP])
  files = {
    ETCD_LISTEN_CERT: certs.file('server.crt'),
    ETCD_LISTEN_KEY: certs.file('server.key'),
    ETCD_LISTEN_CACERT: certs.file('ca.crt'),
  }
})
after(async () => {
  await certs[Symbol.asyncDispose]()
})

function problemsOf(env: Environment): string[] {
  try {
    loadConfig(env)
    return []
  } catch (error) {
    return messageOf(error).split('\n  ').slice(1)
  }
}

test('with ETCD_ENDPOINTS no etcd is started', () => {
  assert.equal(loadConfig({ ETCD_ENDPOINTS: 'http://a:1' }).etcd.own, null)
})

test('an own etcd is on loopback, at another port if told', () => {
  assert.deepEqual(loadConfig({ ETCD_LISTEN: '127.0.0.1:2390' }).etcd.own, {
    port: 2390,
    others: null,
  })
})

test('a door to other hosts without certificates is refused, with the reason and both ways out', () => {
  assert.deepEqual(problemsOf({ ETCD_LISTEN: IP }), [
    `ETCD_LISTEN: whoever reaches ${IP}:2379 could read and change which host each container's packets go to: set ETCD_LISTEN_CERT, ETCD_LISTEN_KEY and ETCD_LISTEN_CACERT, which let in only hosts with a certificate, or ETCD_INSECURE=1 in a network that nobody else reaches`,
  ])
})

test('ETCD_INSECURE=1 opens it, encrypted or not', () => {
  const insecure = { ETCD_LISTEN: `${IP}:2380`, ETCD_INSECURE: '1' }
  assert.deepEqual(loadConfig(insecure).etcd.own, { port: 2380, others: { ip: IP, tls: null } })
  const encrypted = loadConfig({ ...insecure, ...files, ETCD_LISTEN_CACERT: '' }).etcd.own
  assert.equal(encrypted?.others?.tls?.clientCa, null)
})

test('it may be opened at an IPv6 address', async () => {
  const ip = 'fd00:18::96'
  const insecure = { ETCD_INSECURE: '1', ETCD_LISTEN: `[${ip}]:2380` }
  assert.deepEqual(loadConfig(insecure).etcd.own, { port: 2380, others: { ip, tls: null } })
  assert.match(problemsOf({ ETCD_LISTEN: `[${ip}]` })[0]!, /whoever reaches \[fd00:18::96\]:2379/)
  await using own = await Certificates.create([ip])
  const ofIt = {
    ETCD_LISTEN: `[${ip}]`,
    ETCD_LISTEN_CERT: own.file('server.crt'),
    ETCD_LISTEN_KEY: own.file('server.key'),
    ETCD_LISTEN_CACERT: own.file('ca.crt'),
  }
  assert.equal(loadConfig(ofIt).etcd.own?.others?.ip, ip)
  assert.match(
    problemsOf({ ...ofIt, ETCD_LISTEN: '[fd00:18::98]' })[0]!,
    /wanted one whose subjectAltName has IP:fd00:18::98$/,
  )
})

test('certificates open it to hosts that have one', () => {
  const config = loadConfig({ ETCD_LISTEN: IP, ...files })
  assert.deepEqual(config.etcd.own, {
    port: 2379,
    others: {
      ip: IP,
      tls: {
        cert: certs.file('server.crt'),
        key: certs.file('server.key'),
        clientCa: certs.file('ca.crt'),
      },
    },
  })
  assert.match(describeConfig(config), /^ETCD_LISTEN +172\.18\.10\.96$/m)
  assert.match(describeConfig(loadConfig({})), /^ETCD_LISTEN +this host only +\(default\)$/m)
  assert.match(describeConfig(loadConfig({})), /^ETCD_INSECURE +0 +\(default\)$/m)
})

test('what is missing of the certificates is asked for', () => {
  const listen = { ETCD_LISTEN: IP, ...files }
  const [noAuthority] = problemsOf({ ...listen, ETCD_LISTEN_CACERT: '' })
  assert.match(noAuthority ?? '', /^ETCD_LISTEN_CACERT: wanted, since without it whoever reaches/)
  for (const name of ['ETCD_LISTEN_CERT', 'ETCD_LISTEN_KEY']) {
    assert.deepEqual(problemsOf({ ...listen, [name]: '' }), [
      `${name}: wanted for TLS at ${IP}:2379, found nothing`,
    ])
  }
})

test('certificates that other hosts would refuse are refused here', async () => {
  const listen = { ETCD_LISTEN: IP, ...files }
  assert.deepEqual(problemsOf({ ...listen, ETCD_LISTEN: '172.18.10.98' }), [
    `ETCD_LISTEN_CERT: found a certificate for IP Address:${IP}, wanted one whose subjectAltName has IP:172.18.10.98`,
  ])
  assert.deepEqual(problemsOf({ ...listen, ETCD_LISTEN_KEY: certs.file('client.key') }), [
    'ETCD_LISTEN_KEY: found a key of another certificate than ETCD_LISTEN_CERT',
  ])
  await writeFile(certs.file('text'), 'no certificate')
  const text = certs.file('text')
  for (const name of ['ETCD_LISTEN_CERT', 'ETCD_LISTEN_KEY', 'ETCD_LISTEN_CACERT']) {
    for (const path of [text, '/nonexistent/file']) {
      const problems = problemsOf({ ...listen, [name]: path })
      assert.equal(problems.length, 1, problems.join('; '))
      assert.match(problems[0] ?? '', new RegExp(`^${name}: found no .* \\(PEM\\) in ${path} `))
    }
  }
})

test('settings of the one etcd beside those of the other are refused', () => {
  assert.deepEqual(problemsOf({ ETCD_ENDPOINTS: 'http://a:1', ETCD_LISTEN: IP }).length, 1)
  assert.match(
    problemsOf({ ETCD_ENDPOINTS: 'http://a:1', ETCD_LISTEN: IP })[0] ?? '',
    /^ETCD_LISTEN: .* but ETCD_ENDPOINTS names one; set only one of them$/,
  )
  assert.deepEqual(problemsOf({ ETCD_USER: 'root', ETCD_PASSWORD: 'hunter2' }), [
    "ETCD_USER: is of use only with ETCD_ENDPOINTS, found none; this host's own etcd is used without it",
    "ETCD_PASSWORD: is of use only with ETCD_ENDPOINTS, found none; this host's own etcd is used without it",
  ])
  for (const env of [{}, { ETCD_LISTEN: '127.0.0.1:2390' }, { ETCD_ENDPOINTS: 'http://a:1' }]) {
    assert.deepEqual(problemsOf({ ...env, ETCD_LISTEN_KEY: files['ETCD_LISTEN_KEY'] }), [
      'ETCD_LISTEN_KEY: is of use only with an ETCD_LISTEN that other hosts reach',
    ])
  }
})
