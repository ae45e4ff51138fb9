import { Button, Group, NumberInput } from '@mantine/core'
import { useMutation, useQueryClient } from '@tanstack/react-query'
import { useState } from 'react'

import { scaleModel } from '../api/instances'
import type { Instance } from '../api/instances'
import { useI18n } from '../i18n'
import { ErrorAlert } from '../shell/ErrorAlert'

export function ScaleForm({ instance }: { instance: Instance }) {
  const { t } = useI18n()
  const queries = useQueryClient()
  const [count, setCount] = useState(instance.replica)
  const scale = useMutation({
    mutationFn: (replica: number) => scaleModel(instance.model_uid, replica),
    onSettled: async () => {
      await queries.invalidateQueries({ queryKey: ['instances'] })
      await queries.invalidateQueries({ queryKey: ['replicas', instance.model_uid] })
    },
  })
  return (
    <>
      <Group
        component="form"
        align="flex-end"
        gap="xs"
        onSubmit={(event) => {
          event.preventDefault()
          scale.mutate(count)
        }}
      >
        <NumberInput
          label={t('scale.label')}
          value={count}
          onChange={(value) => setCount(Number(value) || 1)}
          min={1}
          max={1024}
          allowDecimal={false}
          allowNegative={false}
          w={120}
        />
        <Button
          type="submit"
          variant="default"
          loading={scale.isPending}
          disabled={count === instance.replica}
        >
          {t('scale.submit')}
        </Button>
      </Group>
      <ErrorAlert error={scale.error} />
    </>
  )
}
