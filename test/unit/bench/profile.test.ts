import assert from 'node:assert/strict'
import { test } from 'node:test'
import { sharesOf } from '../../../bench/profile.ts'

test('samples fall into the part that did the work', () => {
  const report = `
# Overhead;Shared Object;Symbol
 20.00%;[JIT] tid 20544   ;[.] 0x00007fa40003b8ea
 10.00%;node              ;[.] v8impl::(anonymous namespace)::FunctionCallbackWrapper::Invoke
  5.00%;libc.so.6         ;[.] __poll
  5.00%;koffi.node        ;[.] 0x000000000000c0de
 15.00%;[kernel.kallsyms] ;[k] _copy_from_iter
 10.00%;[kernel.kallsyms] ;[k] finish_task_switch.isra.0
  5.00%;[kernel.kallsyms] ;[k] tun_chr_poll
 10.00%;[kernel.kallsyms] ;[k] nft_do_chain
`
  const rounded = sharesOf(report).map((share) => Number(share.toFixed(4)))
  assert.deepEqual(rounded, [0.25, 0.125, 0.125, 0.1875, 0.1875, 0.125])
})

test('a report without samples has no shares', () => {
  assert.deepEqual(new Set(sharesOf('')), new Set([0]))
})
