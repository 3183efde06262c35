import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  CE,
  decapsulatedEcn,
  ECN_DROP,
  ECT_0,
  ECT_1,
  encapsulatedEcn,
  NOT_ECT,
} from '../../../src/packet/ecn.ts'

test('decapsulation follows the table of RFC 6040 section 4.2', () => {
  // Rows: inner. Columns: outer Not-ECT, ECT(0), ECT(1), CE.
  const table: readonly (readonly [number, readonly number[]])[] = [
    [NOT_ECT, [NOT_ECT, NOT_ECT, NOT_ECT, ECN_DROP]],
    [ECT_0, [ECT_0, ECT_0, ECT_1, CE]],
    [ECT_1, [ECT_1, ECT_1, ECT_1, CE]],
    [CE, [CE, CE, CE, CE]],
  ]
  const outers = [NOT_ECT, ECT_0, ECT_1, CE]
  for (const [inner, row] of table) {
    assert.deepEqual(
      outers.map((outer) => decapsulatedEcn(inner, outer)),
      row,
      `inner ${inner}`,
    )
  }
})

test('encapsulation copies the field and nothing of the DSCP', () => {
  for (const ecn of [NOT_ECT, ECT_0, ECT_1, CE]) assert.equal(encapsulatedEcn(0xb8 | ecn), ecn)
})
