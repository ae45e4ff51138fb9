import { NumberInput, Paper, Text, Textarea } from '@mantine/core'
import { useState } from 'react'

import { postJson } from '../api/http'
import type { Instance } from '../api/instances'
import { useI18n } from '../i18n'
import { PaneForm } from './PaneForm'
import { useCall } from './useCall'

const MAX_TOKENS = 128

/** For language models that go on with a text and do not chat. */
export default function CompletionPane({ instance }: { instance: Instance }) {
  const { t } = useI18n()
  const [prompt, setPrompt] = useState('')
  const [maxTokens, setMaxTokens] = useState(MAX_TOKENS)
  const call = useCall<string>()
  const body = { model: instance.model_uid, prompt, max_tokens: maxTokens }

  async function complete(signal: AbortSignal): Promise<string> {
    const response = await postJson('v1/completions', body, signal)
    const { choices } = (await response.json()) as { choices: { text: string }[] }
    return choices[0]?.text ?? ''
  }

  return (
    <>
      <PaneForm
        {...call}
        request={{ path: 'completions', body }}
        submit={t('completion.submit')}
        disabled={!prompt}
        onSubmit={() => call.start(complete)}
        onStop={call.stop}
      >
        <Textarea
          label={t('completion.prompt')}
          value={prompt}
          onChange={(event) => setPrompt(event.currentTarget.value)}
          autosize
          minRows={4}
          maxRows={12}
        />
        <NumberInput
          label="max_tokens"
          value={maxTokens}
          onChange={(value) => setMaxTokens(Number(value) || 1)}
          min={1}
          allowDecimal={false}
          w={160}
        />
      </PaneForm>
      {call.result !== null && (
        <Paper withBorder p="md" role="region" aria-label={t('completion.result')}>
          <Text style={{ whiteSpace: 'pre-wrap' }}>{call.result}</Text>
        </Paper>
      )}
    </>
  )
}
