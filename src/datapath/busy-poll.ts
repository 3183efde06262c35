/**
 * How long a worker that finds nothing to do looks again before it sleeps. A sleeping thread is woken
 * through the scheduler, and a halted core of a virtual machine through the hypervisor, which takes longer
 * than all the work on a small packet. Looking costs the core instead, so it is done only while it pays,
 * judged by the last idle periods as KVM judges its halt polling (virt/kvm/kvm_main.c).
 *
 * All times are microseconds. An idle period lasts from finding nothing to the next packet.
 */

/** Idle periods up to this length, sleep included, are worth a try: the wake-up itself is most of it. */
const REACH = 250

/** The first try; doubled while idle periods are longer than that. */
const FIRST_WINDOW = 25

/** So many idle periods in a row that looking did not shorten are enough. */
const MISSES = 4

/** Idle periods to sleep through after that; also after bulk, whose sender and receiver want the cores. */
const REST = 64

/** Away this long in sched_yield(2), the core went to somebody who computes. */
const CONTENDED = 150

/** What one such yield weighs against one packet that was found, and where it is too much. */
const STRAIN = 32
const MOST_STRAIN = 96

/** Idle periods to sleep through then, doubled whenever it happens again soon. */
const REST_AFTER_STRAIN = 256
const LONGEST_REST = 65_536

export class BusyPoll {
  readonly #limit: number
  #window = 0
  #misses = 0
  #strain = 0
  /** Idle periods that are still to be slept through. */
  #rest = 0
  #restAfterStrain = REST_AFTER_STRAIN

  /** @param limit the longest time to look, 0 for never */
  constructor(limit: number) {
    this.#limit = limit
  }

  /** How long to look in the idle period that begins now; 0 is not at all. */
  get window(): number {
    return this.#rest > 0 ? 0 : this.#window
  }

  /** A packet has ended an idle period of this length. */
  idled(length: number): void {
    if (this.#rest > 0) {
      this.#rest--
      return
    }
    if (length <= this.#window) {
      this.#misses = 0
      if (this.#strain > 0) this.#strain--
      else this.#restAfterStrain = REST_AFTER_STRAIN
      return
    }
    if (length > REACH) {
      this.#window = 0
      return
    }
    if (this.#window < this.#limit) {
      this.#window = Math.min(this.#limit, Math.max(FIRST_WINDOW, this.#window * 2))
    } else if (++this.#misses >= MISSES) {
      this.#giveUp(REST)
    }
  }

  /** A turn moved many bytes. */
  bulk(): void {
    if (this.#rest < REST) this.#giveUp(REST)
  }

  /** The core was lent to others and came back after this time. */
  yielded(time: number): void {
    if (time < CONTENDED) return
    this.#strain += STRAIN
    if (this.#strain <= MOST_STRAIN) return
    this.#giveUp(this.#restAfterStrain)
    this.#strain = MOST_STRAIN
    this.#restAfterStrain = Math.min(LONGEST_REST, this.#restAfterStrain * 2)
  }

  #giveUp(rest: number): void {
    this.#rest = rest
    this.#window = 0
    this.#misses = 0
  }
}
