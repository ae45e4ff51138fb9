import { Button, Stack } from '@mantine/core'
import { useMutation, useQueryClient } from '@tanstack/react-query'
import { useEffect, useMemo, useState } from 'react'

import type { EngineOption } from '../api/catalogue'
import { launchModel } from '../api/instances'
import type { LaunchRequest } from '../api/instances'
import { useEngineAnswers, useEngines, usePreview } from '../api/queries'
import { useI18n } from '../i18n'
import { go } from '../route'
import { ErrorAlert } from '../shell/ErrorAlert'
import { LaunchIcon } from '../shell/icons'
import { AdvancedOptions } from './AdvancedOptions'
import { CommandLine } from './CommandLine'
import { emptyDraft, toLaunch } from './draft'
import type { Draft } from './draft'
import { FieldError } from './fields'
import { FormCascade } from './FormCascade'
import classes from './LaunchForm.module.css'
import { PreviewPanel } from './PreviewPanel'
import { Refusals } from './Refusals'

const TYPING_MS = 400

/** Everything that a launch of one model can say, and what it would come to. */
export function LaunchForm({ model }: { model: string }) {
  const { t } = useI18n()
  const queries = useQueryClient()
  const [draft, setDraft] = useState(emptyDraft)
  const change = (changes: Partial<Draft>) => setDraft((before) => ({ ...before, ...changes }))
  const answers = useEngineAnswers(model)
  const engines = useEngines()
  const [asked, setAsked] = useState<LaunchRequest>({ model_name: model })
  const preview = usePreview(asked)
  const engine = draft.form.engine || preview.data?.model_engine || ''
  const options = useMemo(() => engines.data?.[engine]?.options ?? [], [engines.data, engine])
  const { launch, wrong } = useMemo(() => read(model, draft, options), [model, draft, options])

  useEffect(() => {
    if (!launch) return
    const { model_uid: _, ...rest } = launch
    const timer = setTimeout(() => setAsked(rest), TYPING_MS)
    return () => clearTimeout(timer)
  }, [launch])

  const start = useMutation({
    mutationFn: launchModel,
    onSuccess: async () => {
      await queries.invalidateQueries({ queryKey: ['instances'] })
      go('running')
    },
  })

  return (
    <Stack
      component="form"
      onSubmit={(event) => {
        event.preventDefault()
        if (launch) start.mutate(launch)
      }}
    >
      {/* What has been refused as a whole is said once, by the preview. */}
      {answers.error?.message !== preview.error?.message && <ErrorAlert error={answers.error} />}
      <FormCascade
        answers={answers.data}
        asking={answers.isLoading}
        draft={draft}
        onChange={change}
      />
      {answers.data && <Refusals answers={answers.data} />}
      <AdvancedOptions
        engine={engine}
        options={options}
        values={draft.fields}
        wrong={wrong}
        onChange={(name, value) => change({ fields: { ...draft.fields, [name]: value } })}
      />
      <PreviewPanel preview={preview} replica={draft.replica} />
      {launch && <CommandLine launch={launch} />}
      <div className={classes.foot}>
        <ErrorAlert error={start.error} />
        <Button
          type="submit"
          size="md"
          fullWidth
          loading={start.isPending}
          disabled={!launch}
          leftSection={<LaunchIcon />}
        >
          {t('launch.submit')}
        </Button>
      </div>
    </Stack>
  )
}

/** The launch that the draft says, or the field in which it says what cannot be. */
function read(model: string, draft: Draft, options: EngineOption[]) {
  try {
    return { launch: toLaunch(model, draft, options), wrong: null }
  } catch (error) {
    if (error instanceof FieldError) return { launch: null, wrong: error.field }
    throw error
  }
}
