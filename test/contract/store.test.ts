import assert from 'node:assert/strict'
import { test } from 'node:test'
import { compareRevisions } from '../../src/store/revision.ts'
import type { Store } from '../../src/store/store.ts'
import { eventually, waitFor } from '../support/wait.ts'
import { freshPrefix, subjects } from './stores.ts'
import { Watched } from './watched.ts'

const put = (store: Store, key: string, value: string) => store.commit([], [{ put: key, value }])

for (const subject of subjects()) {
  test(`${subject.name}: a range holds the keys of its prefix and no others`, async () => {
    const { store } = subject
    const prefix = freshPrefix()
    await put(store, `${prefix}a`, '1')
    await put(store, `${prefix}b`, 'ünïcode ☃')
    await put(store, `${prefix.slice(0, -1)}x/c`, '3')
    const { revision, entries } = await store.range(prefix)
    const values = [...entries.values()].map(({ key, value }) => [key, value])
    assert.deepEqual(values, [
      [`${prefix}a`, '1'],
      [`${prefix}b`, 'ünïcode ☃'],
    ])
    assert.ok(compareRevisions(revision, entries.get(`${prefix}b`)!.modRevision) >= 0)
  })

  test(`${subject.name}: creation and modification are told apart by revisions`, async () => {
    const { store } = subject
    const key = `${freshPrefix()}a`
    const first = await put(store, key, '1')
    const second = await put(store, key, '1')
    assert.equal(compareRevisions(first.revision, second.revision) < 0, true)
    assert.deepEqual((await store.range(key)).entries.get(key), {
      key,
      value: '1',
      createRevision: first.revision,
      modRevision: second.revision,
      lease: null,
    })
  })

  test(`${subject.name}: "absent" holds only for a key that is not there`, async () => {
    const { store } = subject
    const key = `${freshPrefix()}a`
    const create = () => store.commit([{ key, is: 'absent' }], [{ put: key, value: '1' }])
    assert.equal((await create()).succeeded, true)
    assert.equal((await create()).succeeded, false)
    await store.commit([], [{ delete: key }])
    assert.equal((await create()).succeeded, true)
  })

  test(`${subject.name}: "modRevision" holds until the key is written again`, async () => {
    const { store } = subject
    const key = `${freshPrefix()}a`
    const { revision } = await put(store, key, '1')
    const rewrite = () =>
      store.commit([{ key, is: 'modRevision', revision }], [{ put: key, value: '2' }])
    assert.equal((await rewrite()).succeeded, true)
    assert.equal((await rewrite()).succeeded, false)
  })

  test(`${subject.name}: "value" holds for that value and not for an absent key`, async () => {
    const { store } = subject
    const key = `${freshPrefix()}a`
    const remove = (value: string) => store.commit([{ key, is: 'value', value }], [{ delete: key }])
    assert.equal((await remove('')).succeeded, false)
    await put(store, key, '1')
    assert.equal((await remove('2')).succeeded, false)
    assert.equal((await remove('1')).succeeded, true)
  })

  test(`${subject.name}: one comparison that fails keeps everything from being written`, async () => {
    const { store } = subject
    const prefix = freshPrefix()
    await put(store, `${prefix}a`, '1')
    const before = await store.range(prefix)
    const result = await store.commit(
      [
        { key: `${prefix}b`, is: 'absent' },
        { key: `${prefix}a`, is: 'absent' },
      ],
      [{ put: `${prefix}b`, value: '2' }, { delete: `${prefix}a` }],
    )
    assert.equal(result.succeeded, false)
    assert.deepEqual((await store.range(prefix)).entries, before.entries)
  })

  test(`${subject.name}: a key may be written only once in a transaction`, async () => {
    const { store } = subject
    const key = `${freshPrefix()}a`
    const twice = store.commit(
      [],
      [
        { put: key, value: '1' },
        { put: key, value: '2' },
      ],
    )
    await assert.rejects(twice, { code: 'bad_input' })
  })

  test(`${subject.name}: keys go when their lease runs out, and others stay`, async () => {
    const { store } = subject
    const prefix = freshPrefix()
    const lease = await store.grant(5)
    await store.commit(
      [],
      [
        { put: `${prefix}a`, value: '1', lease },
        { put: `${prefix}b`, value: '2' },
      ],
    )
    assert.equal((await store.range(prefix)).entries.get(`${prefix}a`)?.lease, lease)
    await eventually(
      async () => {
        assert.deepEqual([...(await store.range(prefix)).entries.keys()], [`${prefix}b`])
      },
      { what: 'the lease to run out' },
    )
    const late = store.commit([], [{ put: `${prefix}c`, value: '3', lease }])
    await assert.rejects(late, { code: 'not_found' })
  })

  test(`${subject.name}: a key moved to another lease outlives the first`, async () => {
    const { store } = subject
    const prefix = freshPrefix()
    const [first, second] = [await store.grant(60), await store.grant(60)]
    await store.commit([], [{ put: `${prefix}a`, value: '1', lease: first }])
    await store.commit([], [{ put: `${prefix}a`, value: '1', lease: second }])
    await store.commit([], [{ put: `${prefix}b`, value: '1', lease: first }])
    await store.revoke(first)
    assert.deepEqual([...(await store.range(prefix)).entries.keys()], [`${prefix}a`])
    await store.commit([], [{ put: `${prefix}a`, value: '1' }])
    await store.revoke(second)
    assert.equal((await store.range(prefix)).entries.size, 1)
  })

  test(`${subject.name}: revoking a lease that is gone is no error`, async () => {
    const { store } = subject
    const lease = await store.grant(60)
    await store.revoke(lease)
    await store.revoke(lease)
  })

  test(`${subject.name}: a watch tells every change after its revision, once and in order`, async () => {
    const { store } = subject
    const prefix = freshPrefix()
    await put(store, `${prefix}old`, '0')
    const { revision } = await store.range(prefix)
    await put(store, `${prefix}a`, 'before the watch')
    const watched = new Watched(store, prefix, revision)
    const expected = [`put ${prefix}a before the watch`]
    for (let i = 0; i < 100; i++) {
      await put(store, `${prefix}${i % 7}`, String(i))
      expected.push(`put ${prefix}${i % 7} ${i}`)
    }
    await store.commit([], [{ delete: `${prefix}a` }])
    expected.push(`delete ${prefix}a`)
    await put(store, `${freshPrefix()}elsewhere`, '1')
    await waitFor(() => watched.film.length >= expected.length, { what: 'all changes' })
    await watched.stop()
    assert.deepEqual(watched.film, expected)
    assert.deepEqual(watched.revisions, watched.revisions.toSorted(compareRevisions))
    assert.deepEqual(watched.lost, [])
  })

  test(`${subject.name}: the changes of one transaction are told together`, async () => {
    const { store } = subject
    const prefix = freshPrefix()
    const { revision } = await store.range(prefix)
    const watched = new Watched(store, prefix, revision)
    const both = [
      { put: `${prefix}a`, value: '1' },
      { put: `${prefix}b`, value: '2' },
    ]
    const { revision: written } = await store.commit([], both)
    await waitFor(() => watched.changes.length === 2, { what: 'both changes' })
    await watched.stop()
    assert.deepEqual(watched.revisions, [written])
  })

  test(`${subject.name}: a watch tells of keys whose lease ran out`, async () => {
    const { store } = subject
    const prefix = freshPrefix()
    const lease = await store.grant(60)
    const { revision } = await store.commit([], [{ put: `${prefix}a`, value: '1', lease }])
    const watched = new Watched(store, prefix, revision)
    await store.revoke(lease)
    await waitFor(() => watched.film.length > 0, { what: 'the deletion' })
    await watched.stop()
    assert.deepEqual(watched.film, [`delete ${prefix}a`])
  })

  test(`${subject.name}: a watch that was stopped tells nothing more`, async () => {
    const { store } = subject
    const prefix = freshPrefix()
    const { revision } = await store.range(prefix)
    const stopped = new Watched(store, prefix, revision)
    await stopped.stop()
    const running = new Watched(store, prefix, revision)
    await put(store, `${prefix}a`, '1')
    await waitFor(() => running.film.length > 0, { what: 'the other watch' })
    await running.stop()
    assert.deepEqual([stopped.film, stopped.lost], [[], []])
  })

  test(`${subject.name}: a watch from before the compacted history is lost, once`, async () => {
    const { store } = subject
    const prefix = freshPrefix()
    const { revision } = await store.range(prefix)
    for (const value of ['1', '2', '3']) await put(store, `${prefix}a`, value)
    await subject.compact()
    const watched = new Watched(store, prefix, revision)
    await waitFor(() => watched.lost.length > 0, { what: 'the loss' })
    await put(store, `${prefix}a`, '4')
    const again = new Watched(store, prefix, (await store.range(prefix)).revision)
    await put(store, `${prefix}a`, '5')
    await waitFor(() => again.film.length > 0, { what: 'the new watch' })
    await again.stop()
    assert.deepEqual(again.film, [`put ${prefix}a 5`])
    assert.equal(watched.lost.length, 1)
    assert.match(watched.lost[0]!.message, /compacted/)
    assert.deepEqual(watched.film, [])
  })
}
