// Every error of this package: a misuse, told before anything is written. `code` is for programs and the same as in
// Python, the message is one sentence for people, and the facts are fields of the error.

export class DocumentError extends Error {
  static code = 'document-error'

  constructor(message, facts = {}) {
    super(message)
    this.name = new.target.name
    this.code = new.target.code
    Object.assign(this, facts)
  }
}

export class InvalidName extends DocumentError {
  static code = 'invalid-name'

  constructor(what, value, rule) {
    super(`${JSON.stringify(String(value).slice(0, 80))} is no ${what}: ${rule}`, { what, value })
  }
}

export class InvalidValue extends DocumentError { static code = 'invalid-value' }

export class QuantityOutOfRange extends DocumentError {
  static code = 'quantity-out-of-range'

  constructor(quantity, rule) {
    super(`quantity ${String(quantity)}: ${rule}`, { quantity })
  }
}

export class UnknownProduct extends DocumentError { static code = 'unknown-product' }
export class UnknownLocation extends DocumentError { static code = 'unknown-location' }
export class AlreadyExists extends DocumentError { static code = 'already-exists' }
export class PeriodClosed extends DocumentError { static code = 'period-closed' }
export class WrongKind extends DocumentError { static code = 'wrong-kind' }
export class SchemaTooNew extends DocumentError { static code = 'schema-too-new' }

export class VersionMismatch extends DocumentError {
  static code = 'version-mismatch'

  constructor(key, seen, actual) {
    super(`${key} was written since: it is at version '${actual}', not '${seen}'`, { key, seen, actual })
  }
}

export class UnknownSibling extends DocumentError {
  static code = 'unknown-sibling'

  constructor(key, tip) {
    super(`'${tip}' is none of the values of ${key} that stand against each other`, { key, tip })
  }
}

export class InsufficientRights extends DocumentError {
  static code = 'insufficient-rights'

  constructor(have, want) {
    super(`this replica has rights to ${have}, and wanted to take ${want}`, { have, want })
  }
}

export class NotTheHolder extends DocumentError {
  static code = 'not-the-holder'

  constructor(hold, holder) {
    super(`hold ${hold} belongs to '${holder}', which alone can end it`, { hold, holder })
  }
}

export class HoldEnded extends DocumentError {
  static code = 'hold-ended'

  constructor(hold, state) {
    super(`hold ${hold} is ${state} already`, { hold, state })
  }
}

export class PeriodsMissing extends DocumentError {
  static code = 'periods-missing'

  constructor(periods) {
    super(`rights need the movements of ${periods.join(', ')}, too: open them first`, { periods })
  }
}

export class NothingToUndo extends DocumentError { static code = 'nothing-to-undo' }

export class CannotUndo extends DocumentError {
  static code = 'cannot-undo'

  // With `isFinal` no later try will do better, and the edit has been given up: the next undo is of the one before.
  constructor(reasons, { isFinal }) {
    super(reasons.join('; '), { reasons, isFinal })
  }
}
