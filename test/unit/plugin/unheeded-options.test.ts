import assert from 'node:assert/strict'
import { test } from 'node:test'
import { pino } from 'pino'
import { UnheededOptions, type NetworkIpam } from '../../../plugin/unheeded-options.ts'

const log = pino({ level: 'silent' })
const WEB: NetworkIpam = { name: 'app', driver: 'default', options: { overlay: 'web', vni: '7' } }

/** What containers of a network are told that Docker shows like that. */
async function saidOf(ipam: NetworkIpam | null): Promise<string | null> {
  const unheeded = new UnheededOptions({ ipamOf: async () => ipam, log })
  await unheeded.look('n1')
  unheeded.refuse('another')
  try {
    unheeded.refuse('n1')
    return null
  } catch (error) {
    assert.ok(error instanceof Error)
    return error.message
  }
}

test('--ipam-opt without our IPAM driver is refused with what was written', async () => {
  const sentence =
    /^the network app was made with --ipam-opt overlay=web --ipam-opt vni=7, which nothing heeds without --ipam-driver overlay-ts; remove the network, /
  assert.match((await saidOf(WEB))!, sentence)
  assert.match((await saidOf({ ...WEB, driver: 'null' }))!, sentence)
})

test('options that somebody heeds, none at all and networks that are gone are refused to nobody', async () => {
  assert.equal(await saidOf({ ...WEB, driver: 'overlay-ts' }), null)
  assert.equal(await saidOf({ ...WEB, driver: 'registry.example/overlay-ts:1' }), null)
  assert.equal(await saidOf({ ...WEB, driver: 'somebody-else' }), null)
  assert.equal(await saidOf({ ...WEB, options: {} }), null)
  assert.equal(await saidOf(null), null)
})

test('a network that is removed is forgotten, and Docker that does not answer refuses nobody', async () => {
  const answers: (NetworkIpam | Error)[] = [new Error('no answer'), WEB]
  const unheeded = new UnheededOptions({
    ipamOf: async () => {
      const answer = answers.shift()
      if (answer instanceof Error) throw answer
      return answer ?? null
    },
    log,
  })
  await unheeded.look('n1')
  unheeded.refuse('n1')
  await unheeded.look('n1')
  assert.throws(() => unheeded.refuse('n1'), { code: 'bad_input' })
  unheeded.forget('n1')
  unheeded.refuse('n1')
})
