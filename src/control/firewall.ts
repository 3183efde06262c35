import { messageOf } from '../errors.ts'
import { observeClosingChains, type ClosingChain } from '../linux/closing-chains.ts'
import type { Log } from '../log.ts'
import { CoalescedTask } from './coalesced-task.ts'

/** What of the host's own firewall stands in the way of overlays and cannot be put right from here. */
export class Firewall {
  readonly #isInUse: () => boolean
  readonly #log: Log
  readonly #task: CoalescedTask
  #problems: readonly string[] = []
  #failure: string | null = null

  /** @param isInUse whether this host has networks, without which nothing is in the way */
  constructor(isInUse: () => boolean, log: Log) {
    this.#isInUse = isInUse
    this.#log = log
    this.#task = new CoalescedTask(() => this.#look())
  }

  /** A sentence for each chain, with the command that lets overlays pass. */
  get problems(): readonly string[] {
    return this.#problems
  }

  /** Looks at the rules of others; what is new is logged once. */
  look(): Promise<void> {
    return this.#task.run()
  }

  async #look(): Promise<void> {
    try {
      const chains = this.#isInUse() ? await observeClosingChains() : []
      const problems = chains.map(sentenceOf)
      const news = problems.filter((problem) => !this.#problems.includes(problem))
      for (const problem of news) this.#log.warn(problem)
      if (problems.length === 0 && this.#problems.length > 0) {
        this.#log.info("the host's firewall lets overlays pass again")
      }
      this.#problems = problems
      this.#failure = null
    } catch (error) {
      const reason = messageOf(error)
      if (reason !== this.#failure) {
        this.#log.warn({ reason }, "cannot read the rules of the host's firewall")
      }
      this.#failure = reason
    }
  }
}

function sentenceOf({ family, table, name, by }: ClosingChain): string {
  const place = `${family} ${table} ${name}`
  return (
    `the nftables chain ${place} drops by its ${by} what containers of overlays send, since no rule of its table names ` +
    `their links; let them pass with: nft insert rule ${place} iifname "ov-*" oifname "ov-*" accept`
  )
}
