import { useI18n } from '../i18n'
import classes from './CodeBlock.module.css'
import { CopyButton } from './CopyButton'

interface Props {
  text: string
  /** What is shown of it, where that is not all. */
  shown?: string
  label: string
}

/** Text for machines, with a button that copies it. */
export function CodeBlock({ text, shown = text, label }: Props) {
  const { t } = useI18n()
  return (
    <div className={classes.block}>
      <pre className={classes.text} tabIndex={0} role="group" aria-label={label}>
        {shown}
      </pre>
      <div className={classes.copy}>
        <CopyButton text={text} label={t('copy.copy', { text: label })} />
      </div>
    </div>
  )
}
