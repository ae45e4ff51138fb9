import { Alert, Anchor, Button, Checkbox, NativeSelect, Paper, Stack, Tabs, Textarea } from '@mantine/core'
import { useMutation, useQueryClient } from '@tanstack/react-query'
import { useState } from 'react'

import { registerModel } from '../api/catalogue'
import { MODEL_TYPES } from '../api/model-types'
import type { ModelType } from '../api/model-types'
import { useI18n } from '../i18n'
import { routeTo } from '../route'
import { ErrorAlert } from '../shell/ErrorAlert'
import { parseDescription, toFields, withFields } from './description'
import type { Description } from './description'
import { DescriptionFields } from './DescriptionFields'
import { PathForm } from './PathForm'

/** A description of a model, as a form and as JSON: both are views of the same text. */
export function RegisterForm() {
  const { t } = useI18n()
  const queries = useQueryClient()
  const [type, setType] = useState<ModelType>('LLM')
  const [json, setJson] = useState('{}')
  const [persist, setPersist] = useState(true)
  const description = parseDescription(json)
  const name = String(description?.model_name ?? '')
  const register = useMutation({
    mutationFn: (text: string) => registerModel(type, text, persist),
    onSuccess: () => queries.invalidateQueries({ queryKey: ['catalogue'] }),
  })
  const show = (told: Description) => setJson(JSON.stringify(told, null, 2))

  return (
    <Paper withBorder p="md">
      <Stack>
        <PathForm
          onRead={(told) => {
            setType('LLM')
            show(told)
          }}
        />
        <Stack
          component="form"
          onSubmit={(event) => {
            event.preventDefault()
            if (description) register.mutate(json)
          }}
        >
          <NativeSelect
            label={t('register.type')}
            value={type}
            onChange={(event) => setType(event.currentTarget.value as ModelType)}
            data={MODEL_TYPES.map((one) => ({ value: one, label: t(`type.${one}`) }))}
          />
          <Tabs defaultValue="form" keepMounted={false}>
            <Tabs.List>
              <Tabs.Tab value="form">{t('register.form')}</Tabs.Tab>
              <Tabs.Tab value="json">{t('register.json')}</Tabs.Tab>
            </Tabs.List>
            <Tabs.Panel value="form" pt="md">
              {description ? (
                <DescriptionFields
                  type={type}
                  fields={toFields(description)}
                  onChange={(fields) => show(withFields(type, description, fields))}
                />
              ) : (
                <Alert color="yellow">{t('register.wrong')}</Alert>
              )}
            </Tabs.Panel>
            <Tabs.Panel value="json" pt="md">
              <Textarea
                aria-label={t('register.json')}
                value={json}
                onChange={(event) => setJson(event.currentTarget.value)}
                error={!description && t('register.wrong')}
                autosize
                minRows={8}
                maxRows={24}
                spellCheck={false}
                styles={{ input: { fontFamily: 'var(--mantine-font-family-monospace)' } }}
              />
            </Tabs.Panel>
          </Tabs>
          <Checkbox
            label={t('register.persist')}
            checked={persist}
            onChange={(event) => setPersist(event.currentTarget.checked)}
          />
          <Button
            type="submit"
            disabled={!name}
            loading={register.isPending}
            style={{ alignSelf: 'flex-start' }}
          >
            {t('register.submit')}
          </Button>
        </Stack>
        <ErrorAlert error={register.error} />
        {register.isSuccess && (
          <Alert color="teal" role="status">
            {t('register.done', { name })}{' '}
            {register.data.length > 0 &&
              t('register.ignored', { fields: register.data.join(', ') })}{' '}
            <Anchor href={routeTo('launch', name)}>{t('register.launch')}</Anchor>
          </Alert>
        )}
      </Stack>
    </Paper>
  )
}
