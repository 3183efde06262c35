import { after, before } from 'node:test'
import { EtcdStore } from '../../src/store/etcd.ts'
import { MemoryStore } from '../../src/store/memory.ts'
import type { Store } from '../../src/store/store.ts'
import { EtcdServer } from '../support/etcd-server.ts'

/** One implementation of the contract, with what its tests need beside it. */
export interface Subject {
  readonly name: string
  readonly store: Store
  /** Forgets history. */
  compact(): Promise<void>
  setUp(): Promise<void>
  tearDown(): Promise<void>
}

function memory(): Subject {
  const store = new MemoryStore()
  return {
    name: 'memory',
    store,
    compact: async () => store.compact(),
    setUp: async () => {},
    tearDown: () => store.close(),
  }
}

function etcd(): Subject {
  let server: EtcdServer | undefined
  let store: EtcdStore | undefined
  const started = <T>(value: T | undefined): T => {
    if (value === undefined) throw new Error('etcd is not started yet')
    return value
  }
  return {
    name: 'etcd',
    get store() {
      return started(store)
    },
    compact: () => started(server).compact(),
    setUp: async () => {
      server = await EtcdServer.start()
      store = new EtcdStore({ endpoints: server.endpoints })
    },
    tearDown: async () => {
      await store?.close()
      await server?.[Symbol.asyncDispose]()
    },
  }
}

/** Both stores, started before the tests of the calling file and gone after them. */
export function subjects(): readonly Subject[] {
  const all = [memory(), etcd()]
  before(() => Promise.all(all.map((subject) => subject.setUp())))
  after(() => Promise.all(all.map((subject) => subject.tearDown())))
  return all
}

let prefixes = 0

/** A prefix that no other test of this process uses. */
export function freshPrefix(): string {
  return `/test-${++prefixes}/`
}
