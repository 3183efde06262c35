import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import type { EtcdOptions } from '../../src/store/etcd-client.ts'
import { EtcdStore } from '../../src/store/etcd.ts'
import { Certificates } from '../support/certificates.ts'
import { EtcdServer } from '../support/etcd-server.ts'
import { reservedPort } from '../support/reserved-port.ts'
import { settlesWithin } from '../support/settles-within.ts'
import { TcpDoor } from '../support/tcp-door.ts'
import { waitFor } from '../support/wait.ts'
import { Watched } from './watched.ts'

/** No call may take longer; a little is left for a busy machine. */
const BOUND_MS = 6500

function open(t: TestContext, options: EtcdOptions): EtcdStore {
  const store = new EtcdStore(options)
  t.after(() => store.close())
  return store
}

/** Where nothing listens. */
const deadEndpoint = async (): Promise<string> => `http://127.0.0.1:${await reservedPort()}`

test('an authority alone is enough for TLS', async (t) => {
  await using certs = await Certificates.create()
  await using etcd = await EtcdServer.start({
    tls: { cert: certs.file('server.crt'), key: certs.file('server.key') },
    clientTls: { ca: certs.file('ca.crt') },
  })
  const store = open(t, { endpoints: etcd.endpoints, tls: { ca: await certs.read('ca.crt') } })
  const watched = new Watched(store, '/x/', (await store.range('/x/')).revision)
  await store.commit([], [{ put: '/x/a', value: '1' }])
  await waitFor(() => watched.film.length === 1, { what: 'the watch over TLS' })
  await watched.stop()

  await using strange = await Certificates.create()
  const stranger = open(t, {
    endpoints: etcd.endpoints,
    tls: { ca: await strange.read('ca.crt') },
  })
  await assert.rejects(stranger.range('/x/'), { code: 'store_unavailable', message: /certificate/ })
})

test('an etcd that wants client certificates gets ours', async (t) => {
  await using certs = await Certificates.create()
  await using etcd = await EtcdServer.start({
    tls: {
      cert: certs.file('server.crt'),
      key: certs.file('server.key'),
      clientCa: certs.file('ca.crt'),
    },
    clientTls: {
      ca: certs.file('ca.crt'),
      cert: certs.file('client.crt'),
      key: certs.file('client.key'),
    },
  })
  const ca = await certs.read('ca.crt')
  const [cert, key] = [await certs.read('client.crt'), await certs.read('client.key')]
  const store = open(t, { endpoints: etcd.endpoints, tls: { ca, cert, key } })
  assert.equal((await store.range('/x/')).entries.size, 0)
  const without = open(t, { endpoints: etcd.endpoints, tls: { ca } })
  await assert.rejects(without.range('/x/'), { code: 'store_unavailable' })
})

test('a user with a password reads, writes and watches, also after etcd forgot its tokens', async (t) => {
  await using etcd = await EtcdServer.start()
  await etcd.ctl('user', 'add', 'root:s3cret')
  await etcd.ctl('user', 'grant-role', 'root', 'root')
  await etcd.ctl('auth', 'enable')
  const auth = { user: 'root', password: 's3cret' }
  const store = open(t, { endpoints: etcd.endpoints, auth })
  const write = (value: string) => store.commit([], [{ put: '/x/a', value }])
  await write('1')
  await etcd.restart()
  const { revision } = await write('2')
  const watched = new Watched(store, '/x/', revision)
  await write('3')
  await waitFor(() => watched.film.length === 1, { what: 'the watch' })
  await watched.stop()

  const wrong = open(t, { endpoints: etcd.endpoints, auth: { ...auth, password: 'guess' } })
  await assert.rejects(wrong.range('/x/'), {
    code: 'store_unavailable',
    message: /refused.*check ETCD_USER and ETCD_PASSWORD/,
  })
  const nobody = open(t, { endpoints: etcd.endpoints })
  await assert.rejects(nobody.range('/x/'), { code: 'store_unavailable', message: /refused/ })
})

test('a role that may read and write the prefix is all that a user needs', async (t) => {
  await using etcd = await EtcdServer.start()
  for (const words of [
    'user add root:s3cret',
    'user grant-role root root',
    'role add overlay-ts',
    'role grant-permission overlay-ts --prefix=true readwrite /overlay-ts/',
    'user add overlay-ts:pa55',
    'user grant-role overlay-ts overlay-ts',
    'auth enable',
  ]) {
    await etcd.ctl(...words.split(' '))
  }
  const auth = { user: 'overlay-ts', password: 'pa55' }
  const store = open(t, { endpoints: etcd.endpoints, auth })
  const { revision } = await store.range('/overlay-ts/')
  const watched = new Watched(store, '/overlay-ts/', revision)
  const lease = await store.grant(60)
  await store.commit(
    [{ key: '/overlay-ts/a', is: 'absent' }],
    [{ put: '/overlay-ts/a', value: '1', lease }],
  )
  await store.revoke(lease)
  await waitFor(() => watched.film.length === 2, { what: 'what was written and its end' })
  await watched.stop()
  await assert.rejects(store.range('/others/'), {
    code: 'store_unavailable',
    message: /permission denied.*the role of that user/,
  })
})

test('a full etcd is named as such, with what to do', async (t) => {
  await using etcd = await EtcdServer.start({ flags: { 'quota-backend-bytes': '4000000' } })
  const store = open(t, { endpoints: etcd.endpoints })
  const value = 'x'.repeat(500_000)
  const fill = async (): Promise<void> => {
    for (let n = 0; n < 40; n++) await store.commit([], [{ put: `/x/${n}`, value }])
  }
  await assert.rejects(fill(), { code: 'store_unavailable', message: /is full .*docs\/etcd\.md/ })
})

test('an endpoint that is dead costs nothing but a moment', async (t) => {
  await using etcd = await EtcdServer.start()
  const endpoints = [await deadEndpoint(), await deadEndpoint(), ...etcd.endpoints]
  const store = open(t, { endpoints })
  const result = await store.commit([{ key: '/x/a', is: 'absent' }], [{ put: '/x/a', value: '1' }])
  assert.equal(result.succeeded, true)
  const watched = new Watched(store, '/x/', result.revision)
  await store.commit([], [{ delete: '/x/a' }])
  await waitFor(() => watched.film.length === 1, { what: 'the watch' })
  await watched.stop()
})

test('an endpoint that hangs is left for one that answers', async (t) => {
  await using hanging = await EtcdServer.start()
  await using etcd = await EtcdServer.start()
  await etcd.ctl('put', '/x/a', 'of the one that answers')
  hanging.pause()
  const store = open(t, { endpoints: [hanging.endpoint, etcd.endpoint] })
  const read = async (): Promise<number> => (await store.range('/x/')).entries.size
  assert.equal(await settlesWithin(BOUND_MS, read(), 'the read'), 1)
  hanging.resume()
  await hanging.ctl('endpoint', 'health')
  assert.equal(await read(), 1, 'the one that answered is asked first')
})

test('every call on a dead etcd ends in time with a sentence that says since when', async (t) => {
  const endpoint = await deadEndpoint()
  const store = open(t, { endpoints: [endpoint] })
  const unavailable = {
    code: 'store_unavailable',
    message: new RegExp(`^etcd at ${endpoint} has not answered since \\d{4}-\\d\\d-\\d\\dT`),
  }
  const calls = [
    store.range('/x/'),
    store.commit([], [{ put: '/x/a', value: '1' }]),
    store.grant(10),
    store.revoke('1'),
  ]
  const rejected = Promise.all(calls.map((call) => assert.rejects(call, unavailable)))
  await settlesWithin(BOUND_MS, rejected, 'each call')
  const again = assert.rejects(store.range('/x/'), unavailable)
  await settlesWithin(1500, again, 'a call in a known outage')
  const watched = new Watched(store, '/x/', '1')
  await waitFor(() => watched.lost.length === 1, { what: 'the watch to be lost' })
})

test('every call on an etcd that hangs ends in time, and goes on when it does', async (t) => {
  await using etcd = await EtcdServer.start()
  const store = open(t, { endpoints: etcd.endpoints })
  await store.range('/x/')
  etcd.pause()
  const calls = [store.range('/x/'), store.commit([], [{ put: '/x/b', value: '1' }])]
  const rejected = Promise.all(
    calls.map((call) => assert.rejects(call, { code: 'store_unavailable' })),
  )
  await settlesWithin(BOUND_MS, rejected, 'each call')
  etcd.resume()
  await waitFor(() => store.range('/x/'), { what: 'etcd to answer again' })
})

test('a transaction whose answer does not come is not sent to another endpoint', async (t) => {
  await using etcd = await EtcdServer.start()
  await using other = await EtcdServer.start()
  const store = open(t, { endpoints: [etcd.endpoint, other.endpoint] })
  await store.range('/x/')
  etcd.pause()
  const commit = store.commit([], [{ put: '/x/b', value: '1' }])
  const rejected = assert.rejects(commit, { code: 'store_unavailable' })
  await settlesWithin(BOUND_MS, rejected, 'the transaction')
  assert.equal(await other.ctl('get', '/x/b'), '')
})

test('a watch on an etcd that hangs is lost although nobody calls', async (t) => {
  await using etcd = await EtcdServer.start()
  const store = open(t, { endpoints: etcd.endpoints })
  const { revision } = await store.commit([], [{ put: '/x/a', value: '1' }])
  const watched = new Watched(store, '/x/', revision)
  await store.commit([], [{ put: '/x/a', value: '2' }])
  await waitFor(() => watched.film.length === 1, { what: 'the watch to be open' })
  etcd.pause()
  await waitFor(() => watched.lost.length === 1, { what: 'the loss', timeout: 30_000 })
})

test('a short outage of etcd is not noticed by a call', async (t) => {
  await using etcd = await EtcdServer.start()
  await using door = await TcpDoor.before(etcd.endpoint)
  const store = open(t, { endpoints: [door.endpoint] })
  await store.commit([], [{ put: '/x/a', value: '1' }])
  const turnedAway = door.shut()
  const read = store.range('/x/')
  await Promise.race([turnedAway, read])
  door.open()
  assert.equal((await read).entries.size, 1)
})
