import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { openJournal, type Journal } from '../../../src/control/journal.ts'
import { SPARED_MS, UnclaimedLinks } from '../../../src/control/unclaimed-links.ts'
import { endpoint, held, network, recordingLog } from './control-support.ts'

const WEB = '1'.repeat(64)
const link = (name: string) => ({ name, mac: '02:00:00:00:00:01' })
const ALL = [link('ov-tun'), link('ov-b1111111111'), link('ov-heeeeeeeeee'), link('ov-b2222222222')]

async function journalOf(t: TestContext, ...networks: string[]): Promise<Journal> {
  const folder = await mkdtemp(join(tmpdir(), 'ovt-unclaimed-'))
  t.after(() => rm(folder, { recursive: true }))
  const journal = await openJournal(folder, recordingLog().log)
  for (const id of networks) {
    await journal.subnets.put('10.33.5.0/24', held('10.33.5.0/24', { networkId: id }))
    await journal.networks.put(id, network(id, '10.33.5.0/24'))
    await journal.endpoints.put('e'.repeat(64), endpoint('e'.repeat(64), id, '10.33.5.2/17'))
  }
  return journal
}

test('what the journal does not know stays until it is known whose it is', async (t) => {
  const links = new UnclaimedLinks(await journalOf(t, WEB))
  assert.deepEqual(links.spared(0), [])
  links.note(ALL, 0)
  links.note([link('ov-b3333333333')], 0)
  assert.deepEqual(links.spared(1), ['ov-b2222222222'])
  links.release()
  assert.deepEqual(links.spared(1), [])
})

test('without a journal the TUN stays too, but not for itself', async (t) => {
  const journal = await journalOf(t)
  const all = new UnclaimedLinks(journal)
  all.note(ALL, 0)
  assert.equal(all.spared(1).length, ALL.length)
  const alone = new UnclaimedLinks(journal)
  alone.note([link('ov-tun')], 0)
  assert.deepEqual(alone.spared(1), [])
})

test('nobody is waited for without end', async (t) => {
  const links = new UnclaimedLinks(await journalOf(t))
  links.note(ALL, 5)
  assert.equal(links.spared(5 + SPARED_MS - 1).length, ALL.length)
  assert.deepEqual(links.spared(5 + SPARED_MS), [])
})

test('the MAC of a bridge that was there is remembered, that of a claimed one is the journal’s', async (t) => {
  const links = new UnclaimedLinks(await journalOf(t, WEB))
  links.note(ALL, 0)
  assert.equal(links.bridgeMac('2'.repeat(64)), '02:00:00:00:00:01')
  assert.equal(links.bridgeMac(WEB), null)
  assert.equal(links.bridgeMac('3'.repeat(64)), null)
})

test('a network without its subnet claims nothing, nor do its attachments', async (t) => {
  const journal = await journalOf(t, WEB)
  await journal.subnets.delete('10.33.5.0/24')
  const links = new UnclaimedLinks(journal)
  links.note(ALL, 0)
  assert.equal(links.spared(1).length, ALL.length)
})
