import { Loader, NativeSelect, NumberInput, SimpleGrid, Text, TextInput } from '@mantine/core'

import type { EngineAnswers } from '../api/catalogue'
import { useCluster } from '../api/queries'
import { formatParameters } from '../format'
import { useI18n } from '../i18n'
import { AUTOMATIC, choicesOf, choose, STEPS } from './cascade'
import type { Draft } from './draft'

interface Props {
  /** Undefined while the engines are asked, and where they cannot be. */
  answers: EngineAnswers | undefined
  asking: boolean
  draft: Draft
  onChange: (changes: Partial<Draft>) => void
}

/** Engine, format, size and quantisation, each by those before; then where, how often, how called. */
export function FormCascade({ answers = {}, asking, draft, onChange }: Props) {
  const { t, language } = useI18n()
  const choices = choicesOf(answers, draft.form)
  return (
    <>
      {asking && (
        <Text role="status" fz="sm" c="dimmed">
          <Loader size="xs" mr="xs" />
          {t('form.asking')}
        </Text>
      )}
      <SimpleGrid cols={{ base: 1, xs: 2 }}>
        {STEPS.map((step) => (
          <NativeSelect
            key={step}
            label={t(`form.${step}`)}
            value={draft.form[step]}
            onChange={(event) =>
              onChange({ form: choose(answers, draft.form, step, event.currentTarget.value) })
            }
            data={[
              { value: AUTOMATIC[step], label: t('form.automatic') },
              ...choices[step].map((value) => ({
                value,
                label: step === 'size' ? formatParameters(value, language) : value,
              })),
            ]}
          />
        ))}
        <NativeSelect
          label={t('form.gpu')}
          value={draft.nGpu}
          onChange={(event) => onChange({ nGpu: event.currentTarget.value })}
          data={[
            { value: 'auto', label: t('form.gpu.auto') },
            { value: 'none', label: t('form.gpu.none') },
            ...useGpuCounts(),
          ]}
        />
        <NumberInput
          label={t('form.replica')}
          value={draft.replica}
          onChange={(value) => onChange({ replica: Number(value) || 1 })}
          min={1}
          max={1024}
          allowDecimal={false}
          allowNegative={false}
        />
      </SimpleGrid>
      <TextInput
        label={t('form.uid')}
        description={t('form.uid.help')}
        value={draft.uid}
        onChange={(event) => onChange({ uid: event.currentTarget.value })}
        autoComplete="off"
        spellCheck={false}
      />
    </>
  )
}

/** As many accelerators as the best worker has: a replica is on one worker. */
function useGpuCounts(): string[] {
  const { data } = useCluster()
  const most = Math.max(0, ...(data?.workers ?? []).map((worker) => worker.accelerators.length))
  return Array.from({ length: most }, (_, index) => String(index + 1))
}
