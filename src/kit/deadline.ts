// A bound on how long somebody waits. The work that is waited for goes on; stopping it is its owner's business.

const LATE = Symbol("late");

/** The work's value, or what `late` gives once `ms` are over; `late` may throw instead. */
export async function beforeDeadline<T, L>(
  work: Promise<T>,
  ms: number,
  late: () => L,
): Promise<T | L> {
  const { promise, resolve } = Promise.withResolvers<typeof LATE>();
  const timer = setTimeout(resolve, ms, LATE);
  try {
    const first = await Promise.race([work, promise]);
    return first === LATE ? late() : first;
  } finally {
    clearTimeout(timer);
  }
}
