const SHOWN = 120

/** The same value with long texts, such as pictures, cut short. */
export function shortened<Value>(value: Value): Value {
  return cut(value) as Value
}

function cut(value: unknown): unknown {
  if (typeof value === 'string') return value.length > SHOWN ? `${value.slice(0, SHOWN)}…` : value
  if (Array.isArray(value)) return value.map(cut)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, cut(one)]))
}
