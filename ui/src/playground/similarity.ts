/** The cosine of the angle between two vectors: 1 for the same direction; 0 where one is zero. */
export function cosine(a: number[], b: number[]): number {
  let product = 0
  let lengthA = 0
  let lengthB = 0
  for (let i = 0; i < a.length; i++) {
    const x = a[i] ?? 0
    const y = b[i] ?? 0
    product += x * y
    lengthA += x * x
    lengthB += y * y
  }
  const length = Math.sqrt(lengthA * lengthB)
  return length > 0 ? product / length : 0
}

/** Of each vector with each other one. */
export function similarities(vectors: number[][]): number[][] {
  return vectors.map((a) => vectors.map((b) => cosine(a, b)))
}

/** The lines of a text that say something. */
export function linesOf(text: string): string[] {
  return text.split('\n').flatMap((line) => line.trim() || [])
}
