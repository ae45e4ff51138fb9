import { Button, NumberInput, Paper, Stack, TextInput } from '@mantine/core'
import { useMutation, useQueryClient } from '@tanstack/react-query'
import { useState } from 'react'
import type { Ref } from 'react'

import { launchModel } from '../api/models'
import { useI18n } from '../i18n'
import { go } from '../route'
import { ErrorAlert } from '../shell/ErrorAlert'
import { LaunchIcon } from '../shell/icons'
import classes from './LaunchForm.module.css'

interface Props {
  ref: Ref<HTMLFormElement>
  model: string
  onModelChange: (model: string) => void
}

export function LaunchForm({ ref, model, onModelChange }: Props) {
  const { t } = useI18n()
  const queries = useQueryClient()
  const [uid, setUid] = useState('')
  const [replica, setReplica] = useState(1)
  const launch = useMutation({
    mutationFn: launchModel,
    onSuccess: async () => {
      await queries.invalidateQueries({ queryKey: ['instances'] })
      go('running')
    },
  })

  return (
    <Paper
      component="form"
      ref={ref}
      withBorder
      p="md"
      onSubmit={(event) => {
        event.preventDefault()
        launch.mutate({
          model_name: model.trim(),
          model_uid: uid.trim() || undefined,
          replica,
        })
      }}
    >
      <Stack>
        <div className={classes.fields}>
          <TextInput
            label={t('launch.model')}
            description={t('launch.model.help')}
            value={model}
            onChange={(event) => onModelChange(event.currentTarget.value)}
            required
            autoComplete="off"
            spellCheck={false}
          />
          <TextInput
            label={t('launch.uid')}
            description={t('launch.uid.help')}
            value={uid}
            onChange={(event) => setUid(event.currentTarget.value)}
            autoComplete="off"
            spellCheck={false}
          />
          <NumberInput
            label={t('launch.replica')}
            description={t('launch.replica.help')}
            value={replica}
            onChange={(value) => setReplica(Number(value) || 1)}
            min={1}
            allowDecimal={false}
            allowNegative={false}
          />
          <Button type="submit" loading={launch.isPending} leftSection={<LaunchIcon />}>
            {t('launch.submit')}
          </Button>
        </div>
        <ErrorAlert error={launch.error} />
      </Stack>
    </Paper>
  )
}
