import type { ICompare, IKeyValue, IRequestOp } from 'etcd3'
import type { Compare, Entry, Operation } from './store.ts'

/** The key and range_end that mean "every key that begins so": the prefix with its last byte raised. */
export function prefixRange(prefix: string): { key: Buffer; range_end: Buffer } {
  const key = Buffer.from(prefix)
  const end = Buffer.from(prefix)
  // UTF-8 has no byte 0xff, so the last byte can always be raised.
  end[end.length - 1]! += 1
  return { key, range_end: end }
}

export function entryOf(kv: IKeyValue): Entry {
  return {
    key: kv.key.toString(),
    value: kv.value.toString(),
    createRevision: kv.create_revision,
    modRevision: kv.mod_revision,
    lease: kv.lease === '0' ? null : kv.lease,
  }
}

/** A key that never was, or was deleted, has create revision 0. */
export function compareOf(compare: Compare): ICompare {
  const key = Buffer.from(compare.key)
  switch (compare.is) {
    case 'absent':
      return { key, result: 'Equal', target: 'Create', create_revision: '0' }
    case 'modRevision':
      return { key, result: 'Equal', target: 'Mod', mod_revision: compare.revision }
    default:
      return { key, result: 'Equal', target: 'Value', value: Buffer.from(compare.value) }
  }
}

export function requestOf(operation: Operation): IRequestOp {
  if ('delete' in operation) return { request_delete_range: { key: Buffer.from(operation.delete) } }
  const { put, value, lease = '0' } = operation
  return { request_put: { key: Buffer.from(put), value: Buffer.from(value), lease } }
}
