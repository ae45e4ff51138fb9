import type { EngineOption } from '../api/catalogue'
import type { LaunchRequest } from '../api/instances'
import { AUTOMATIC } from './cascade'
import type { Form } from './cascade'
import { withFields } from './fields'

/** A launch as it is being filled in. */
export interface Draft {
  form: Form
  /** `auto`, `none` or a number. */
  nGpu: string
  uid: string
  replica: number
  /** Texts of further fields and of the engine's options, by name. */
  fields: Record<string, string>
}

export function emptyDraft(): Draft {
  return { form: AUTOMATIC, nGpu: 'auto', uid: '', replica: 1, fields: {} }
}

/** The launch that a draft says; what it leaves open is left out. Throws FieldError. */
export function toLaunch(model: string, draft: Draft, options: EngineOption[]): LaunchRequest {
  const { form, nGpu, uid, replica } = draft
  const launch: LaunchRequest = { model_name: model }
  if (uid.trim()) launch.model_uid = uid.trim()
  if (form.engine) launch.model_engine = form.engine
  if (form.format) launch.model_format = form.format
  if (form.size) launch.model_size_in_billions = form.size
  if (form.quantization) launch.quantization = form.quantization
  if (nGpu !== 'auto') launch.n_gpu = nGpu === 'none' ? null : Number(nGpu)
  if (replica !== 1) launch.replica = replica
  return withFields(launch, draft.fields, options)
}
